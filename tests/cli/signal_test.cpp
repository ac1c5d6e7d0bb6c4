// SIGINT and SIGTERM: the run stops, what can be kept is kept, exit codes and documents say so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>

#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// More epochs than any machine trains while the test waits.
const Words kLong = {"train", "--epochs", "100000", "--eval-every", "1000"};

Words long_run(const Words& more) {
  Words words = kLong;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Signals, with_out_a_resumable_checkpoint_is_kept) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  Process process(long_run({"--out", out, "--json"}), folder.file(""));
  ASSERT_TRUE(process.wait_for_error_text("epoch "));
  process.send(SIGTERM);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 143);
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_EQ(document["status"], "interrupted");
  EXPECT_EQ(document["runs"][0]["run_status"], "interrupted");
  EXPECT_EQ(nlohmann::json::parse(read_file(out + "/result.json")), document);
  EXPECT_THAT(result.err, HasSubstr("--resume"));

  const auto epochs = document["runs"][0]["epochs"].size() + 2;
  const ProcessResult resumed =
      run_program({"train", "--resume", out, "--epochs", std::to_string(epochs), "--json"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(resumed.document()["runs"][0]["epochs"].size(), epochs);
}

TEST(Signals, without_out_stderr_says_that_nothing_was_saved) {
  const TemporaryFolder folder;
  Process process(kLong, folder.file(""));
  ASSERT_TRUE(process.wait_for_error_text("epoch "));
  process.send(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_THAT(result.err, HasSubstr("nothing was saved"));
}

TEST(Signals, stop_every_worker_of_every_strategy) {
  for (const char* strategy : {"sync", "hogwild", "local-sgd"}) {
    const TemporaryFolder folder;
    Process process(long_run({"--strategy", strategy, "--workers", "2"}), folder.file(""));
    ASSERT_TRUE(process.wait_for_error_text("epoch "));
    process.send(SIGINT);
    EXPECT_EQ(process.wait().exit_code, 130) << strategy;
  }
}

TEST(Signals, before_training_end_the_process_with_a_document) {
  const TemporaryFolder folder;
  // Nobody writes into the pipe: reading the data waits for ever.
  const std::string pipe = folder.file("pipe.csv");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  Process process({"train", "--data", "csv:" + pipe, "--json", "--verbose"}, folder.file(""));
  ASSERT_TRUE(process.wait_for_error_text("loading csv:"));
  process.send(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 130);
  const nlohmann::json document = result.document();
  EXPECT_EQ(document["status"], "interrupted");
  EXPECT_THAT(schema_errors(document), IsEmpty());
}

TEST(Signals, end_a_comparison_with_what_was_done) {
  const TemporaryFolder folder;
  Process process({"compare", "--modes", "serial,sync:2", "--epochs", "100000", "--eval-every",
                   "1000", "--json"},
                  folder.file(""));
  ASSERT_TRUE(process.wait_for_error_text("serial run 1"));
  process.send(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 130);
  const nlohmann::json document = result.document();
  EXPECT_EQ(document["status"], "interrupted");
  EXPECT_EQ(document["runs"].size(), 2u);
  EXPECT_EQ(document["runs"][1]["run_status"], "not_run");
}

}  // namespace
}  // namespace lockstep::testing
