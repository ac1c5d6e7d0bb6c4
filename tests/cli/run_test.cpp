// lockstep train as a process: results, folders, resuming.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string hash_of(const nlohmann::json& document) {
  return document["runs"][0]["parameters_sha256"];
}

nlohmann::json trained(Words arguments) {
  arguments.insert(arguments.begin(), "train");
  arguments.push_back("--json");
  const ProcessResult result = run_program(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  return document;
}

TEST(Train, prints_results_on_stdout_and_narration_on_stderr) {
  const ProcessResult result = run_program({"train", "--epochs", "2"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("accuracy"));
  EXPECT_THAT(result.out, Not(HasSubstr("epoch 1/2")));
  EXPECT_THAT(result.err, HasSubstr("epoch 1/2"));
  EXPECT_THAT(result.err, HasSubstr("epoch 2/2"));
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b"))) << "no terminal: no colour, no bar";
}

TEST(Train, bf16_reaches_the_accuracy_of_float32) {
  const Words training = {"--hidden", "64", "--epochs", "15", "--momentum", "0.9"};
  const nlohmann::json fp32 = trained(training);
  if (fp32["machine"]["bf16"].is_null()) GTEST_SKIP() << "this CPU has no bf16 instructions";
  Words in_bf16 = training;
  in_bf16.insert(in_bf16.end(), {"--precision", "bf16"});
  const nlohmann::json bf16 = trained(in_bf16);
  EXPECT_EQ(bf16["config"]["precision"], "bf16");
  EXPECT_EQ(bf16["runs"][0]["precision"], "bf16");
  EXPECT_NE(hash_of(bf16), hash_of(fp32));
  const double expected = fp32["runs"][0]["final"]["test_accuracy"];
  EXPECT_GE(expected, 0.95);
  // Two of the 359 test digits.
  EXPECT_NEAR(bf16["runs"][0]["final"]["test_accuracy"].get<double>(), expected, 0.006);
}

TEST(Train, quiet_leaves_results_alone) {
  const ProcessResult result = run_program({"train", "--epochs", "1", "--quiet"});
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(result.out, HasSubstr("accuracy"));
}

TEST(Train, verbose_names_each_workers_share) {
  const ProcessResult result =
      run_program({"train", "--epochs", "1", "--workers", "3", "--batch-size", "64", "--verbose"});
  EXPECT_THAT(result.err, HasSubstr("worker 0: positions [0, 21)"));
  EXPECT_THAT(result.err, HasSubstr("worker 2: positions [42, 64)"));
}

TEST(Train, json_is_one_document_with_everything_resolved) {
  const nlohmann::json document = trained({"--epochs", "2", "--workers", "2"});
  EXPECT_EQ(document["status"], "ok");
  EXPECT_EQ(document["command"], "train");
  EXPECT_EQ(document["config"]["strategy"], "sync");
  EXPECT_EQ(document["config"]["batch_size"], 64);
  EXPECT_EQ(document["config"]["device"], "cpu");
  EXPECT_EQ(document["data"]["train_samples"], 1438);
  const nlohmann::json& run = document["runs"][0];
  EXPECT_EQ(run["name"], "sync:2");
  EXPECT_EQ(run["epochs"].size(), 2u);
  EXPECT_EQ(run["workers_time"].size(), 2u);
  EXPECT_TRUE(run["speedup"].is_null());
  EXPECT_GT(run["final"]["test_accuracy"], 0.5);
}

TEST(Train, dry_run_shows_what_would_run_and_trains_nothing) {
  const TemporaryFolder folder;
  const ProcessResult result =
      run_program({"train", "--dry-run", "--workers", "2", "--out", folder.file("run")});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("batch-size = 64"));
  EXPECT_THAT(result.out, HasSubstr("50,826 parameters"));
  EXPECT_THAT(result.out, HasSubstr("memory"));
  EXPECT_THAT(result.err, Not(HasSubstr("epoch 1")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("run")));
  const nlohmann::json document = trained({"--dry-run"});
  EXPECT_THAT(document["runs"], IsEmpty());
  EXPECT_GT(document["dry_run"]["memory_bytes"]["total"], 0);
}

TEST(Train, what_dry_run_prints_is_a_configuration_that_runs) {
  const TemporaryFolder folder;
  const ProcessResult dry = run_program({"train", "--dry-run", "--epochs", "1", "--hidden", "8"});
  const std::string file = folder.write("job.toml", dry.out);
  EXPECT_EQ(hash_of(trained({file})), hash_of(trained({"--epochs", "1", "--hidden", "8"})));
}

TEST(Out, holds_result_configuration_and_model) {
  const TemporaryFolder folder;
  const std::string out = folder.file("deep/run");
  const nlohmann::json document = trained({"--epochs", "1", "--out", out});
  EXPECT_EQ(nlohmann::json::parse(read_file(out + "/result.json")), document);
  EXPECT_TRUE(std::filesystem::exists(out + "/model.safetensors"));
  const nlohmann::json again = trained({out + "/config.toml"});
  EXPECT_EQ(hash_of(again), hash_of(document));
  EXPECT_EQ(again["config"], document["config"]);
}

TEST(Out, without_it_nothing_is_written) {
  const TemporaryFolder folder;
  const std::string command =
      "cd " + folder.file("") + " && " + LOCKSTEP_PROGRAM + " train --epochs 1 >/dev/null 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.file("")));
}

TEST(Out, another_configurations_result_is_refused_without_overwrite) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  trained({"--epochs", "1", "--out", out});
  trained({"--epochs", "1", "--out", out});  // the same configuration may be run again
  const std::string before = read_file(out + "/result.json");

  const ProcessResult refused = run_program({"train", "--epochs", "2", "--out", out});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--overwrite"));
  EXPECT_EQ(read_file(out + "/result.json"), before);

  trained({"--epochs", "2", "--out", out, "--overwrite"});
  EXPECT_NE(read_file(out + "/result.json"), before);
}

TEST(Resume, continues_a_run_with_its_own_configuration) {
  const TemporaryFolder folder;
  const std::string whole = folder.file("whole"), part = folder.file("part");
  const Words job = {"--hidden", "16", "--momentum", "0.9", "--seed", "5"};
  const auto with = [&](Words more) {
    more.insert(more.begin(), job.begin(), job.end());
    return more;
  };
  const std::string expected = hash_of(trained(with({"--epochs", "4", "--out", whole})));
  trained(with({"--epochs", "2", "--out", part, "--checkpoint-every", "1"}));
  // All but the number of epochs comes from the checkpoint.
  const nlohmann::json resumed = trained({"--resume", part, "--epochs", "4"});
  EXPECT_EQ(hash_of(resumed), expected);
  EXPECT_EQ(resumed["runs"][0]["epochs"].size(), 4u);
  EXPECT_EQ(resumed["config"]["seed"], 5);
}

TEST(Resume, finds_data_whose_path_is_not_utf8) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  std::string rows;
  for (int i = 0; i < 100; ++i)
    rows += std::to_string(i % 7) + ",1," + std::to_string(i % 2) + "\n";
  const std::string data = folder.write("d\xE4ta.csv", rows);
  trained({"--data", "csv:" + data, "--epochs", "1", "--out", out, "--checkpoint-every", "1"});
  const nlohmann::json resumed = trained({"--resume", out, "--epochs", "2"});
  EXPECT_EQ(resumed["runs"][0]["epochs"].size(), 2u);
  EXPECT_EQ(resumed["data"]["train_samples"], 100);
}

TEST(Resume, into_the_same_folder_needs_no_overwrite) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  trained({"--epochs", "1", "--out", out, "--checkpoint-every", "1"});
  trained({"--resume", out, "--out", out, "--epochs", "2"});
  EXPECT_THAT(read_file(out + "/config.toml"), HasSubstr("epochs = 2"));
}

TEST(Out, a_fresh_run_removes_the_training_states_of_an_older_one) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  trained({"--epochs", "3", "--out", out, "--checkpoint-every", "1"});
  trained({"--epochs", "1", "--out", out, "--checkpoint-every", "1", "--overwrite"});
  size_t states = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(out + "/checkpoints")) {
    ++states;
  }
  EXPECT_EQ(states, 1u);
}

TEST(Toml, a_file_beats_defaults_and_a_flag_beats_the_file) {
  const TemporaryFolder folder;
  const std::string file = folder.write("job.toml", "epochs = 1\nhidden = [8]\n");
  EXPECT_EQ(trained({file})["config"]["epochs"], 1);
  EXPECT_EQ(trained({file, "--epochs", "2"})["config"]["epochs"], 2);
  const ProcessResult variable =
      run_program({"train", file, "--json"}, {"LOCKSTEP_HIDDEN=9", "LOCKSTEP_QUIET=1"});
  EXPECT_EQ(variable.document()["config"]["hidden"], nlohmann::json({9}));
}

TEST(Version, names_what_is_built_in) {
  const ProcessResult result = run_program({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("lockstep "));
  EXPECT_THAT(result.out, HasSubstr("matrix products"));
}

TEST(Help, goes_to_stdout_with_exit_code_0) {
  for (const Words& words : std::vector<Words>{{"--help"}, {"help"}, {"train", "--help"}}) {
    const ProcessResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, HasSubstr("Usage: lockstep"));
  }
  EXPECT_EQ(run_program({}).exit_code, 2);
}

TEST(Doctor, judges_this_machine) {
  const ProcessResult result = run_program({"doctor", "--json"});
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_GE(document["doctor"].size(), 8u);
  EXPECT_EQ(document["checks"].size(), document["doctor"].size());
}

TEST(DataInfo, shows_the_embedded_data) {
  const ProcessResult result = run_program({"data", "info", "digits"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("1,438"));
  EXPECT_THAT(result.out, HasSubstr("sha256"));
  const nlohmann::json document = run_program({"data", "info", "digits", "--json"}).document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_EQ(document["data"]["classes"], 10);
}

}  // namespace
}  // namespace lockstep::testing
