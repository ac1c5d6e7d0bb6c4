// What goes wrong, as a user sees it: the message names what and where, the remedy what to do, the
// exit code is the documented one, and under --json the document says the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Case {
  Words arguments;
  int exit_code;
  std::string names;  // in stderr
};

void expect_failure(const Case& failing) {
  const ProcessResult plain = run_program(failing.arguments);
  EXPECT_EQ(plain.exit_code, failing.exit_code) << plain.err;
  EXPECT_THAT(plain.err, HasSubstr(failing.names));
  EXPECT_THAT(plain.out, IsEmpty());

  Words with_json = failing.arguments;
  with_json.push_back("--json");
  const ProcessResult result = run_program(with_json);
  EXPECT_EQ(result.exit_code, failing.exit_code);
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_NE(document["status"], "ok");
  const std::string message = document["error"]["message"];
  const std::string remedy = document["error"].value("remedy", "");
  EXPECT_THAT(message + " " + remedy, HasSubstr(failing.names));
}

TEST(Errors, of_usage_have_exit_code_2) {
  for (const Case& failing : std::vector<Case>{
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
           {{"predict", "--checkpoint", "x"}, 2, "--data is missing"},
       }) {
    expect_failure(failing);
  }
}

TEST(Errors, of_data_have_exit_code_3_and_name_file_and_place) {
  const TemporaryFolder folder;
  const std::string ragged = folder.write("ragged.csv", "1,2,0\n1,2,1\n1,1\n");
  const std::string empty = folder.write("empty.csv", "");
  const std::string words = folder.write("words.csv", "1,2,0\n1,two,1\n1,2,1\n");
  const std::string broken = folder.write("broken.safetensors", "not a checkpoint");
  for (const Case& failing : std::vector<Case>{
           {{"train", "--data", "csv:" + folder.file("none.csv")}, 3, "none.csv"},
           {{"train", "--data", "csv:" + empty}, 3, "empty.csv"},
           {{"train", "--data", "csv:" + ragged}, 3, "ragged.csv"},
           {{"train", "--data", "csv:" + words}, 3, "words.csv"},
           {{"data", "info", "csv:" + ragged}, 3, "ragged.csv"},
           {{"eval", "--checkpoint", broken, "--data", "digits"}, 3, "broken.safetensors"},
           {{"train", "--resume", folder.file("")}, 3, "checkpoints"},
           {{"train", "--init", broken}, 3, "broken.safetensors"},
       }) {
    expect_failure(failing);
  }
}

TEST(Errors, of_devices_have_exit_code_4) {
  expect_failure({{"train", "--device", "cuda"}, 4, "no CUDA support"});
  expect_failure({{"compare", "--modes", "sync:2@cuda"}, 4, "no CUDA support"});
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

TEST(Errors, a_full_disk_is_exit_code_1_wherever_the_output_goes) {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  ASSERT_EQ(run_program({"train", "--epochs", "1", "--out", run}).exit_code, 0);
  const ProcessResult result =
      run_program({"predict", "--checkpoint", run, "--data", "digits", "--output", "/dev/full"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("No space left on device"));
}

TEST(Errors, a_full_stdout_is_exit_code_1) {
  for (const char* option : {"", " --json"}) {
    const std::string command = std::string(LOCKSTEP_PROGRAM) + " train --epochs 1 --quiet" +
                                option + " > /dev/full 2> /dev/null";
    EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1) << command;
  }
  // Nor does a full stderr end the program in another way than by its exit code.
  const std::string both = std::string(LOCKSTEP_PROGRAM) + " train --epochs 1 > /dev/full 2>&1";
  EXPECT_EQ(WEXITSTATUS(std::system(both.c_str())), 1);
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
