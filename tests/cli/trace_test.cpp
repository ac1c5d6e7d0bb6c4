// --trace: where the file goes, what is refused before training, and what an interrupted run keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "cli/process.h"
#include "train/trace_checks.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

ProcessResult train_short(const Words& more) {
  Words words = {"train", "--epochs", "2", "--hidden", "16", "--samples", "320"};
  words.insert(words.end(), more.begin(), more.end());
  return run_program(words);
}

TEST(TraceOption, writes_ten_steps_of_a_run_to_the_file) {
  const TemporaryFolder folder;
  const std::string file = folder.file("some.json");
  const ProcessResult result = train_short({"--trace", file, "--epochs", "8", "--workers", "2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr(file), HasSubstr("ui.perfetto.dev")));
  const ReadTrace trace(read_file(file));
  EXPECT_THAT(trace.tracks(), UnorderedElementsAre("lockstep/worker 0", "lockstep/worker 1"));
  EXPECT_THAT(trace.steps("lockstep/worker 1"),
              ElementsAre(10, 11, 12, 13, 14, 15, 16, 17, 18, 19));
  EXPECT_EQ(trace.other()["run"], "sync:2");
  EXPECT_EQ(trace.other()["steps"], "10:20");
}

TEST(TraceOption, goes_into_the_result_folder_where_steps_alone_are_named) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  const ProcessResult result = train_short({"--trace-steps", "3:5", "--out", out});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(ReadTrace(read_file(out + "/trace.json")).steps("lockstep/worker 0"),
              ElementsAre(3, 4));
  EXPECT_THAT(read_file(out + "/config.toml"), Not(HasSubstr("trace"))) << "is no part of the job";
}

TEST(TraceOption, without_a_file_is_refused) {
  const ProcessResult result = train_short({"--trace-steps", "3:5"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("--trace-steps"), HasSubstr("add --trace FILE")));
}

TEST(TraceOption, takes_ranges_alone) {
  for (const char* steps : {"5", "5:", ":5", "5:5", "6:5", "-1:5", "a:b", "1:2:3", ""}) {
    const ProcessResult result = train_short({"--trace", "trace.json", "--trace-steps", steps});
    EXPECT_EQ(result.exit_code, 2) << steps;
    EXPECT_THAT(result.err, HasSubstr("for example 10:20")) << steps;
  }
}

TEST(TraceOption, names_a_file_that_cannot_be_written_before_training) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "");
  const std::pair<std::string, std::string> cases[] = {
      {folder.file("absent/trace.json"), "No such file or directory"},
      {file + "/trace.json", "Not a directory"},
      {folder.file(""), "is a folder"}};
  for (const auto& [path, reason] : cases) {
    const ProcessResult result = train_short({"--trace", path});
    EXPECT_EQ(result.exit_code, 1) << path;
    EXPECT_THAT(result.err, AllOf(HasSubstr("--trace: "), HasSubstr(reason), HasSubstr("\n  ")));
    EXPECT_THAT(result.err, Not(HasSubstr("epoch"))) << "nothing was trained";
  }
  EXPECT_EQ(train_short({"--trace", folder.file("trace.json"), "--dry-run"}).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder.file("trace.json")));
}

TEST(TraceOption, warns_of_steps_that_the_run_does_not_have) {
  const TemporaryFolder folder;
  const std::string file = folder.file("trace.json");
  const ProcessResult result = train_short({"--trace", file, "--trace-steps", "8:99"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("this run has the steps 0:10"));
  EXPECT_THAT(ReadTrace(read_file(file)).steps("lockstep/worker 0"), ElementsAre(8, 9));
  EXPECT_THAT(train_short({"--trace", file, "--trace-steps", "50:99"}).err,
              HasSubstr("the trace will be empty"));
  EXPECT_TRUE(ReadTrace(read_file(file)).tracks().empty());
}

TEST(TraceOption, of_an_interrupted_run_is_written) {
  const TemporaryFolder folder;
  const std::string file = folder.file("trace.json");
  Process process({"train", "--epochs", "100000", "--workers", "2", "--trace", file},
                  folder.file(""));
  ASSERT_TRUE(process.wait_for_error_text("epoch "));
  process.send(SIGTERM);
  EXPECT_EQ(process.wait().exit_code, 143);
  EXPECT_THAT(ReadTrace(read_file(file)).steps("lockstep/worker 1"), Contains(10));
}

}  // namespace
}  // namespace lockstep::testing
