// What goes wrong, as a user sees it: the message names what and where, the remedy what to do, the
// exit code is the documented one, and under --json the document says the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "cli/failures.h"
#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Errors, of_a_cpu_without_bf16_have_exit_code_4_and_a_way_on) {
  const Words older_cpu = {"ONEDNN_MAX_CPU_ISA=AVX2"};
  const nlohmann::json machine = run_program({"doctor", "--json"}, older_cpu).document()["machine"];
  if (machine["gemm"] == "plain loops") GTEST_SKIP() << "plain loops multiply bf16 anywhere";
  EXPECT_TRUE(machine["bf16"].is_null());
  const ProcessResult result = run_program({"train", "--precision", "bf16", "--json"}, older_cpu);
  EXPECT_EQ(result.exit_code, 4);
  const nlohmann::json error = result.document()["error"];
  EXPECT_EQ(error["kind"], "device");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("AVX512_BF16"));
  EXPECT_EQ(error["remedy"], "use --precision fp32");
  EXPECT_EQ(run_program({"train", "--epochs", "1"}, older_cpu).exit_code, 0);
}

TEST(Errors, of_usage_have_exit_code_2) {
  for (const Failure& failing : std::vector<Failure>{
           {{"trian"}, 2, "did you mean 'train'?"},
           {{"train", "--epohcs", "3"}, 2, "did you mean --epochs?"},
           {{"train", "--epochs", "three"}, 2, "'three' is not a whole number"},
           {{"train", "--batch-size", "0"}, 2, "--batch-size 0"},
           {{"train", "--workers", "0"}, 2, "--workers 0"},
           {{"train", "--samples", "-5"}, 2, "--samples -5"},
           {{"train", "--samples", "3", "--workers", "4"}, 2, "more workers than the 3"},
           {{"train", "--dropout", "1.5"}, 2, "--dropout 1.5"},
           {{"train", "--strategy", "hogwild", "--optimizer", "adam"}, 2, "hogwild"},
           {{"train", "--deterministic", "--strategy", "local-sgd"}, 2, "--deterministic"},
           {{"train", "--batch-size", "8", "--per-worker-batch", "8"}, 2, "both given"},
           {{"train", "--strategy", "serial", "--workers", "2"}, 2, "serial has one worker"},
           {{"train", "--sync-every", "8"}, 2, "--sync-every"},
           {{"train", "--nesterov"}, 2, "--nesterov without --momentum"},
           {{"train", "--model", "mpl"}, 2, "did you mean 'mlp'?"},
           {{"train", "no-such-experiment"}, 2, "no experiment"},
           {{"train", "no-such.toml"}, 2, "no-such.toml"},
           {{"compare", "--modes", "serial,snyc:2"}, 2, "did you mean 'sync'?"},
           {{"compare", "--modes", "serial", "--baseline", "sync:2"}, 2, "--baseline sync:2"},
           {{"compare", "--repeats", "0"}, 2, "--repeats 0"},
           {{"eval", "--data", "digits"}, 2, "--checkpoint is missing"},
           {{"eval", "--checkpoint", "x", "--data", "digits", "--threads", "0"}, 2, "--threads 0"},
           {{"data", "info", "digits", "--test-fraction", "2"}, 2, "--test-fraction 2"},
           {{"train", "--seed", "-1"}, 2, "a whole number from 0 to 18446744073709551615"},
           {{"train", "--workers", "99999999999"}, 2, "to 2147483647, or all"},
           {{"train", "--epochs", "9223372036854775807"}, 2, "from 1 to 1000000000"},
           {{"train", "--schedule", "step:0"}, 2, "--schedule step:0:0.1"},
           {{"train", "--normalize", "mean=1"}, 2, "--normalize mean=1"},
           {{"train", "--bucket-mb", "x"}, 2, "is not a number, auto or inf"},
           {{"compare", "--workers-list", "2,0"}, 2, "--workers-list 0"},
           {{"compare", "--modes", "sync:2", "--lr", "0"}, 2, "--lr 0"},
           {{"tarin"}, 2, "did you mean 'train'?"},
           {{"benchmark"}, 2, "train, compare, eval, predict, doctor, data, experiments"},
           {{"predict", "--checkpoint", "x"}, 2, "--data is missing"},
       }) {
    expect_failure(failing);
  }
}

TEST(Errors, of_checkpoints_have_exit_code_3) {
  const TemporaryFolder folder;
  const std::string broken = folder.write("broken.safetensors", "not a checkpoint");
  for (const Failure& failing : std::vector<Failure>{
           {{"eval", "--checkpoint", broken, "--data", "digits"}, 3, "broken.safetensors"},
           {{"train", "--resume", folder.file("")}, 3, "checkpoints"},
           {{"train", "--init", broken}, 3, "broken.safetensors"},
       }) {
    expect_failure(failing);
  }
}

TEST(Errors, of_toml_files_name_file_and_line) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& content, const std::string& names) {
    const std::string file = folder.write("job.toml", "# a job\n" + content);
    expect_failure({{"train", file}, 2, names});
    expect_failure({{"compare", file}, 2, "job.toml, line "});
  };
  refusal("epohcs = 3\n", "did you mean 'epochs'?");
  refusal("epochs = 'x'\n", "job.toml, line 2: epochs: 'x' is not a whole number");
  refusal("epochs = 1\nepochs = 2\n", "job.toml, line 3");
  refusal("epochs = \n", "job.toml, line 2");
  refusal("hidden = { a = 1 }\n", "'hidden' has no value of its kind");
  refusal("[[mode]]\nmode = 'sync:2'\nlrr = 3\n", "did you mean 'lr'?");
  refusal("[[mode]]\nname = 'x'\n", "without 'mode'");
  refusal("data = '\xFF'\n", "utf-8");
}

TEST(Errors, a_model_that_does_not_fit_in_memory_is_refused_with_the_size_that_it_needs) {
  const Words huge = {"--hidden", "1000000,1000000", "--epochs", "1"};
  for (const char* command : {"train", "compare"}) {
    Words words = {command};
    words.insert(words.end(), huge.begin(), huge.end());
    expect_failure({words, 1, "of memory"});
    words.push_back("--dry-run");
    EXPECT_EQ(run_program(words).exit_code, 0);
  }
}

TEST(Errors, a_dry_run_refuses_what_the_model_has_no_use_for) {
  const Words factors = {"train", "--strategy", "sync",    "--workers",
                         "2",     "--update",   "factors", "--dry-run"};
  EXPECT_EQ(run_program(factors).exit_code, 0);
  Words logistic = factors;
  logistic.insert(logistic.end(),
                  {"--model", "logistic", "--data", "synthetic:n=100,d=3", "--epochs", "1"});
  expect_failure({logistic, 2, "--update factors"});
  Words bf16 = factors;
  bf16.insert(bf16.end(), {"--precision", "bf16"});
  expect_failure({bf16, 2, "--update factors"});
}

TEST(Errors, every_strategy_that_diverges_names_the_step) {
  const std::vector<Words> strategies = {{"serial"},
                                         {"sync", "--workers", "2"},
                                         {"hogwild", "--workers", "2"},
                                         {"local-sgd", "--workers", "2", "--sync-every", "8"}};
  for (const Words& strategy : strategies) {
    Words words = {"train", "--lr", "1e30", "--epochs", "2", "--strategy"};
    words.insert(words.end(), strategy.begin(), strategy.end());
    expect_failure({words, 6, "the loss is not a number at step "});
  }
}

TEST(Errors, a_diverging_run_has_exit_code_6_and_names_the_step) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  const ProcessResult result =
      run_program({"train", "--lr", "1e30", "--epochs", "2", "--json", "--out", out});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(result.err, HasSubstr("step"));
  const nlohmann::json document = result.document();
  EXPECT_EQ(document["status"], "diverged");
  EXPECT_EQ(document["error"]["kind"], "diverged");
  ASSERT_EQ(document["runs"].size(), 1u);
  EXPECT_EQ(document["runs"][0]["run_status"], "diverged");
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_EQ(nlohmann::json::parse(read_file(out + "/result.json")), document);
}

// The program under a shell's limits and redirections; its exit code.
int shell(const std::string& limits, const std::string& arguments, const std::string& ends) {
  const std::string command =
      limits + " exec " + std::string(LOCKSTEP_PROGRAM) + " " + arguments + " " + ends;
  const int status = std::system(command.c_str());
  EXPECT_TRUE(WIFEXITED(status)) << command;
  return WEXITSTATUS(status);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

TEST(Errors, a_write_beyond_the_file_size_limit_is_exit_code_1_and_leaves_whole_files_alone) {
  const TemporaryFolder folder;
  const std::string run = folder.file("run"), err = folder.file("err");
  // 8 blocks of 512 or 1024 bytes, whatever the shell counts in: enough for config.toml.
  const std::string limit = "ulimit -f 8;";
  EXPECT_EQ(shell(limit, "train --epochs 1 --quiet --out " + run, "> /dev/null 2> " + err), 1);
  EXPECT_THAT(read_file(err), HasSubstr("cannot write '" + run + "/model.safetensors'"));
  EXPECT_THAT(read_file(err), HasSubstr("File too large"));
  EXPECT_THAT(read_file(err), HasSubstr("ulimit -f"));
  EXPECT_THAT(names_in(run), ::testing::Each(::testing::AnyOf("config.toml", "result.json")));

  // A standard output that is a file.
  const std::string out = folder.file("out");
  EXPECT_EQ(shell("ulimit -f 1;", "train --epochs 1 --quiet --json", "> " + out + " 2> " + err), 1);
  EXPECT_THAT(read_file(err), HasSubstr("standard output: File too large"));
}

TEST(Errors, a_result_file_that_cannot_be_written_still_leaves_the_document_on_stdout) {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  ASSERT_EQ(run_program({"train", "--epochs", "1", "--out", run}).exit_code, 0);
  std::filesystem::remove(run + "/result.json");
  std::filesystem::create_directories(run + "/result.json/in-the-way");
  const ProcessResult result =
      run_program({"train", "--epochs", "1", "--out", run, "--overwrite", "--json"});
  EXPECT_EQ(result.exit_code, 1);
  const nlohmann::json document = result.document();
  EXPECT_EQ(document["status"], "failed");
  EXPECT_THAT(document["error"]["message"].get<std::string>(), HasSubstr("result.json"));
  EXPECT_EQ(document["runs"].size(), 1u);
  EXPECT_THAT(schema_errors(document), IsEmpty());
}

TEST(Errors, a_full_disk_is_exit_code_1_wherever_the_output_goes) {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  ASSERT_EQ(run_program({"train", "--epochs", "1", "--out", run}).exit_code, 0);
  const ProcessResult result =
      run_program({"predict", "--checkpoint", run, "--data", "digits", "--output", "/dev/full"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("No space left on device"));
  expect_failure({{"train", "--epochs", "1", "--out", "/dev/full"}, 1, "--out /dev/full"});

  const std::string model = " --checkpoint " + run + " --data digits";
  for (const std::string& command :
       std::vector<std::string>{"--version", "--help", "train --help", "doctor", "experiments",
                                "experiments show mlp-mnist", "data info digits", "eval" + model,
                                "predict" + model, "train --epochs 1", "train --dry-run",
                                "compare --epochs 1 --modes serial --repeats 1"}) {
    for (const char* json : {"", " --json"}) {
      const std::string err = folder.file("err");
      EXPECT_EQ(shell("", command + json, "> /dev/full 2> " + err), 1) << command << json;
      EXPECT_THAT(read_file(err), HasSubstr("standard output: No space left on device"));
    }
  }
  // Nor does a full stderr end the program in another way than by its exit code.
  EXPECT_EQ(shell("", "train --epochs 1", "> /dev/full 2>&1"), 1);
  EXPECT_EQ(shell("", "train --epochs 1", "> /dev/null 2> /dev/full"), 0);
}

TEST(Errors, names_that_are_not_utf8_and_names_that_are_too_long_pass_through) {
  const TemporaryFolder folder;
  const std::string odd = "\xFF\xFE", run = folder.file("run" + odd);
  const std::string data =
      "csv:" + folder.write("data" + odd + ".csv", "a,b,label\n1,2,x\xFF\n3,4,y\n5,6,x\xFF\n");
  const Words commands[] = {
      {"train", "--data", data, "--epochs", "1", "--out", run, "--checkpoint-every", "1"},
      {"train", "--resume", run, "--data", data, "--epochs", "2"},
      {"compare", "--data", data, "--epochs", "1", "--modes", "serial", "--repeats", "1"},
      {"eval", "--checkpoint", run, "--data", data},
      {"predict", "--checkpoint", run, "--data", data},
      {"data", "info", data},
  };
  for (Words words : commands) {
    words.push_back("--json");
    const ProcessResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(schema_errors(result.document()), IsEmpty()) << words[0];
  }
  expect_failure({{"train", "--data", "csv:none" + odd}, 3, "none"});
  expect_failure({{"train", "--ep" + odd}, 2, "unknown option --ep"});

  const std::string longest(300, 'a');
  expect_failure({{"train", longest}, 2, "no experiment"});
  expect_failure({{"train", "--out", longest}, 1, "File name too long"});
  for (const Words& words :
       std::vector<Words>{{"train", "--resume", longest},
                          {"train", "--init", longest},
                          {"train", "--data", "idx:" + longest + ",b"},
                          {"train", "--data", "mnist:" + longest},
                          {"eval", "--checkpoint", longest, "--data", "digits"}}) {
    expect_failure({words, 3, longest});
  }
}

TEST(Errors, an_output_folder_that_cannot_be_made_is_exit_code_1) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "x");
  const ProcessResult result = run_program({"train", "--epochs", "1", "--out", file + "/run"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("--out " + file));
}

TEST(Errors, of_variables_name_the_variable) {
  const ProcessResult bad = run_program({"train"}, {"LOCKSTEP_EPOCHS=x"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.err, HasSubstr("LOCKSTEP_EPOCHS: 'x'"));
  const ProcessResult mistyped = run_program({"train"}, {"LOCKSTEP_EPOCS=3"});
  EXPECT_EQ(mistyped.exit_code, 2);
  EXPECT_THAT(mistyped.err, HasSubstr("did you mean LOCKSTEP_EPOCHS?"));
}

}  // namespace
}  // namespace lockstep::testing
