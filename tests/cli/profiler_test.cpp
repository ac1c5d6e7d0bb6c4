// What a profiler sees: NVTX ranges around what the host does for GPUs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "cli/process.h"

namespace lockstep::testing {
namespace {

// How often each range was opened, by "NAME" or "NAME NUMBER", in a training that is watched.
std::map<std::string, int> watched(const Words& arguments) {
  const TemporaryFolder folder;
  const std::string file = folder.file("ranges");
  Words words = {"train",     "--device", "cuda",     "--quiet", "--epochs",     "1",
                 "--samples", "320",      "--hidden", "24,12",   "--batch-size", "64"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const ProcessResult result =
      run_program(words, {"LOCKSTEP_EMULATOR_DEVICES=2", "NVTX_INJECTION64_PATH=" LOCKSTEP_WATCHER,
                          "LOCKSTEP_WATCHER_FILE=" + file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, int> opened;
  int open = 0;
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) {
    open += line == "-" ? -1 : 1;
    EXPECT_GE(open, 0);
    if (line != "-") ++opened[line.substr(2)];
  }
  EXPECT_EQ(open, 0) << "every range ends";
  return opened;
}

TEST(Profiler, sees_the_steps_of_several_gpus_and_their_buckets) {
  const auto ranges = watched({"--workers", "2", "--bucket-mb", "0.004"});
  for (const char* step : {"step 0", "step 4"}) EXPECT_EQ(ranges.at(step), 2) << step;
  EXPECT_FALSE(ranges.contains("step 5"));
  for (const char* name : {"prepare", "capture", "forward", "backward", "reduce 0", "reduce 1",
                           "update 0", "update 1", "forward, backward 0"}) {
    EXPECT_TRUE(ranges.contains(name)) << name;
  }
}

TEST(Profiler, sees_the_steps_of_one_gpu_and_averages) {
  const auto serial = watched({"--strategy", "serial"});
  EXPECT_EQ(serial.at("step 4"), 1);
  EXPECT_TRUE(serial.contains("capture"));
  EXPECT_TRUE(serial.contains("forward, backward, update"));
  const auto local = watched({"--workers", "2", "--strategy", "local-sgd", "--sync-every", "2"});
  EXPECT_GT(local.at("average"), 0);
}

TEST(Profiler, is_not_needed) {
  const ProcessResult result =
      run_program({"train", "--device", "cuda", "--epochs", "1", "--samples", "320"},
                  {"NVTX_INJECTION64_PATH=/nonexistent/library.so"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

}  // namespace
}  // namespace lockstep::testing
