// A build with CUDA, real or emulated, whatever machine it runs on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.h"

namespace lockstep::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(DeviceOfABuildWithCuda, StartsWithAndWithoutADriver) {
  const ProcessResult version = run_program({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, HasSubstr("code for "));
  const nlohmann::json machine = run_program({"doctor", "--json"}).document()["machine"];
  EXPECT_TRUE(machine["cuda_runtime"].is_string());
  if (machine["cuda_driver"].is_null()) {
    EXPECT_TRUE(machine["gpus"].empty());
    const ProcessResult result = run_program({"train", "--device", "cuda", "--json"});
    EXPECT_EQ(result.exit_code, 4);
    EXPECT_THAT(result.document()["error"]["message"].get<std::string>(),
                HasSubstr("no NVIDIA driver"));
    EXPECT_THAT(result.document()["error"]["remedy"].get<std::string>(),
                HasSubstr("nvidia-driver"));
  }
}

// There is none in the first place for a program started so.
TEST(DeviceOfABuildWithCuda, HiddenGpusAreNoGpus) {
  const Words hidden = {"CUDA_VISIBLE_DEVICES=", "LOCKSTEP_EMULATOR_DEVICES=0"};
  const ProcessResult result = run_program({"train", "--device", "cuda", "--json"}, hidden);
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.document()["error"]["remedy"].get<std::string>(),
              AnyOf(HasSubstr("CUDA_VISIBLE_DEVICES is ''"), HasSubstr("nvidia-driver")));
}

}  // namespace
}  // namespace lockstep::testing
