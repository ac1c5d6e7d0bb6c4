// A build without CUDA says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/failures.h"
#include "cli/process.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

TEST(DeviceOfABuildWithoutCuda, IsAnErrorThatNamesTheBuild) {
  expect_failure({{"train", "--device", "cuda"}, 4, "this build has no CUDA support"});
  expect_failure({{"train", "--device", "cuda:1"}, 4, "cmake --preset cuda"});
  EXPECT_THAT(run_program({"--version"}).out, HasSubstr("this build has no CUDA"));
  EXPECT_THAT(run_program({"train", "--epochs", "1"}).err,
              HasSubstr("device: the CPU, since this build has no CUDA support"));
}

}  // namespace
}  // namespace lockstep::testing
