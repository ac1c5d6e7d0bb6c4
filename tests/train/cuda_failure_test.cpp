// A GPU that fails in the middle of a training: what the error says, and that nothing stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "emulator/control.h"
#include "lockstep/error.h"
#include "small_job.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::make_dataset;
using testing::train_small;

class CudaFailure : public ::testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override { emulator::reset(); }

  // One epoch of nine steps, the last of them shorter; two graphs.
  TrainedModel train(const char* model) const {
    return train_small(dataset_, [&](Config& c) {
      c.model.model = model;
      c.optimizer.momentum = 0.9;
      c.epochs = 1;
      c.device = "cuda";
    });
  }

  // What it throws; nothing where it ends well.
  std::optional<Error> failure_of(const char* model) const {
    try {
      train(model);
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  const Dataset dataset_ = make_dataset();
};

constexpr const char* kModels[] = {"mlp", "logistic"};

// A kernel as it was launched: its name, how, and where in the source.
constexpr char kLaunch[] =
    "lockstep::.*, grid [0-9]+ x [0-9]+ x [0-9]+, block [0-9]+ x [0-9]+ x [0-9]+, [0-9]+ bytes of "
    "shared memory";
constexpr char kPlace[] = "at .*kernels/.*:[0-9]+";

TEST_F(CudaFailure, AnyAllocationThatFindsNoMemoryIsAClearErrorAndLeavesNothingBehind) {
  for (const std::string model : kModels) {
    const std::string right = train(model.c_str()).result.parameters_sha256;
    ASSERT_EQ(emulator::held(), "");
    long failed = 0;
    for (bool ends = false; !ends; ++failed) {
      SCOPED_TRACE(model + ", allocation " + std::to_string(failed));
      emulator::fail_allocation(failed);
      const std::optional<Error> error = failure_of(model.c_str());
      EXPECT_EQ(emulator::held(), "");
      ends = emulator::allocations_seen() <= failed;
      ASSERT_EQ(error.has_value(), !ends);
      if (ends) break;
      EXPECT_EQ(error->kind(), ErrorKind::device);
      EXPECT_THAT(error->what(), AllOf(HasSubstr("GPU 0"), HasSubstr(" free")));
      EXPECT_THAT(error->what(), AnyOf(ContainsRegex("needs (about )?[0-9.]+ (MB|bytes)"),
                                       HasSubstr("needs more of its memory"),
                                       ContainsRegex("[0-9]+ bytes of this machine's memory")));
      EXPECT_FALSE(error->remedy().empty());
    }
    EXPECT_GT(failed, 15);
    // The device is none the worse.
    emulator::fail_allocation(-1);
    EXPECT_EQ(train(model.c_str()).result.parameters_sha256, right);
  }
}

TEST_F(CudaFailure, ALaunchThatIsRefusedNamesTheKernelAndHowItWasLaunched) {
  for (const std::string model : kModels) {
    long refused = 1;  // the first is the probe's, which has words of its own
    for (bool ends = false; !ends; ++refused) {
      SCOPED_TRACE(model + ", launch " + std::to_string(refused));
      emulator::fail_launch(refused, cudaErrorLaunchOutOfResources);
      const std::optional<Error> error = failure_of(model.c_str());
      EXPECT_EQ(emulator::held(), "");
      ends = emulator::launches_seen() <= refused;
      ASSERT_EQ(error.has_value(), !ends);
      if (ends) break;
      EXPECT_EQ(error->kind(), ErrorKind::device);
      EXPECT_THAT(error->what(), HasSubstr("too many resources requested for launch"));
      EXPECT_THAT(error->what(), ContainsRegex(std::string("the launch of .*") + kLaunch));
      EXPECT_THAT(error->what(), ContainsRegex(kPlace));
    }
    EXPECT_GT(refused, 5);
  }
}

TEST_F(CudaFailure, AKernelThatFailsEndsTheTrainingWithAnErrorThatSticks) {
  for (const std::string model : kModels) {
    train(model.c_str());
    const long kernels = emulator::kernels_seen();
    emulator::reset();
    ASSERT_GT(kernels, 20);
    // Every kernel of the beginning and of the first graph, then one of each part of the rest.
    for (long k = 1; k < kernels; k += k < 30 ? 1 : 11) {
      SCOPED_TRACE(model + ", kernel " + std::to_string(k) + " of " + std::to_string(kernels));
      emulator::fail_kernel(k, cudaErrorIllegalAddress);
      const std::optional<Error> error = failure_of(model.c_str());
      ASSERT_TRUE(error.has_value());
      EXPECT_EQ(error->kind(), ErrorKind::device);
      EXPECT_THAT(error->what(),
                  AllOf(HasSubstr("illegal memory access"), ContainsRegex("failed at .*:[0-9]+"),
                        ContainsRegex(kLaunch), ContainsRegex(kPlace)));
      EXPECT_THAT(error->remedy(), HasSubstr("compute-sanitizer"));
      EXPECT_TRUE(failure_of(model.c_str())) << "the device is lost";
      emulator::reset();
    }
  }
}

TEST_F(CudaFailure, ACaptureThatFailsNamesWhatWasCaptured) {
  for (const std::string model : kModels) {
    emulator::reset();
    train(model.c_str());
    const long captures = emulator::captures_seen();
    ASSERT_EQ(captures, 2);
    for (long k = 0; k < captures; ++k) {
      emulator::fail_capture(k, cudaErrorStreamCaptureInvalidated);
      const std::optional<Error> error = failure_of(model.c_str());
      ASSERT_TRUE(error.has_value());
      EXPECT_EQ(error->kind(), ErrorKind::device);
      EXPECT_THAT(error->what(), AllOf(HasSubstr("cudaStreamEndCapture failed at "),
                                       HasSubstr("cudaErrorStreamCaptureInvalidated"),
                                       ContainsRegex(kLaunch), ContainsRegex(kPlace)));
      EXPECT_EQ(emulator::held(), "");
    }
    emulator::fail_capture(-1, cudaSuccess);
    EXPECT_FALSE(failure_of(model.c_str()));
  }
}

}  // namespace
}  // namespace lockstep
