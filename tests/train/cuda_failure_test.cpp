// A GPU that fails in the middle of a training: what the error says, and that nothing stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "emulator/control.h"
#include "lockstep/error.h"
#include "small_job.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using testing::Change;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::make_dataset;
using testing::train_small;

class CudaFailure : public ::testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override { emulator::reset(); }

  // One epoch of nine steps, the last of them shorter: a graph for each of the two sizes.
  TrainedModel train(const Change& job) const {
    return train_small(dataset_, [&](Config& c) {
      c.optimizer.momentum = 0.9;
      c.epochs = 1;
      c.device = "cuda";
      job(c);
    });
  }

  // What it throws; nothing where it ends well.
  std::optional<Error> failure_of(const Change& job) const {
    try {
      train(job);
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  const Dataset dataset_ = make_dataset();
};

const std::map<std::string, Change> kJobs = {
    {"mlp", [](Config&) {}},
    {"logistic", [](Config& c) { c.model.model = "logistic"; }},
    {"data from the host, accumulated gradients", [](Config& c) {
       c.data_placement = DataPlacement::host;
       c.accumulate = 2;
     }}};

// A kernel as it was launched: its name, how, and where in the source.
constexpr char kLaunch[] =
    "lockstep::.*, grid [0-9]+ x [0-9]+ x [0-9]+, block [0-9]+ x [0-9]+ x [0-9]+, [0-9]+ bytes of "
    "shared memory";
constexpr char kPlace[] = "at .*kernels/.*:[0-9]+";

TEST_F(CudaFailure, AnyAllocationThatFindsNoMemoryIsAClearErrorAndLeavesNothingBehind) {
  for (const auto& [name, job] : kJobs) {
    const std::string right = train(job).result.parameters_sha256;
    ASSERT_EQ(emulator::held(), "");
    long failed = 0;
    for (bool ends = false; !ends; ++failed) {
      SCOPED_TRACE(name + ", allocation " + std::to_string(failed));
      emulator::fail_allocation(failed);
      const std::optional<Error> error = failure_of(job);
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
    EXPECT_EQ(train(job).result.parameters_sha256, right);
  }
}

TEST_F(CudaFailure, ALaunchThatIsRefusedNamesTheKernelAndHowItWasLaunched) {
  for (const auto& [name, job] : kJobs) {
    long refused = 1;  // the first is the probe's, which has words of its own
    for (bool ends = false; !ends; ++refused) {
      SCOPED_TRACE(name + ", launch " + std::to_string(refused));
      emulator::fail_launch(refused, cudaErrorLaunchOutOfResources);
      const std::optional<Error> error = failure_of(job);
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
  for (const auto& [name, job] : kJobs) {
    train(job);
    const long kernels = emulator::kernels_seen();
    emulator::reset();
    ASSERT_GT(kernels, 20);
    // Every kernel of the beginning and of the first graph, then one of each part of the rest.
    for (long k = 1; k < kernels; k += k < 30 ? 1 : 11) {
      SCOPED_TRACE(name + ", kernel " + std::to_string(k) + " of " + std::to_string(kernels));
      emulator::fail_kernel(k, cudaErrorIllegalAddress);
      const std::optional<Error> error = failure_of(job);
      ASSERT_TRUE(error.has_value());
      EXPECT_EQ(error->kind(), ErrorKind::device);
      EXPECT_THAT(error->what(),
                  AllOf(HasSubstr("illegal memory access"), ContainsRegex("failed at .*:[0-9]+"),
                        ContainsRegex(kLaunch), ContainsRegex(kPlace)));
      EXPECT_THAT(error->remedy(), HasSubstr("compute-sanitizer"));
      EXPECT_TRUE(failure_of(job)) << "the device is lost";
      emulator::reset();
    }
  }
}

TEST_F(CudaFailure, ACaptureThatFailsNamesWhatWasCaptured) {
  for (const auto& [name, job] : kJobs) {
    SCOPED_TRACE(name);
    emulator::reset();
    train(job);
    const long captures = emulator::captures_seen();
    ASSERT_GE(captures, 2);
    for (long k = 0; k < captures; ++k) {
      emulator::fail_capture(k, cudaErrorStreamCaptureInvalidated);
      const std::optional<Error> error = failure_of(job);
      ASSERT_TRUE(error.has_value());
      EXPECT_EQ(error->kind(), ErrorKind::device);
      EXPECT_THAT(error->what(), AllOf(HasSubstr("cudaStreamEndCapture failed at "),
                                       HasSubstr("cudaErrorStreamCaptureInvalidated"),
                                       ContainsRegex(kLaunch), ContainsRegex(kPlace)));
      EXPECT_EQ(emulator::held(), "");
    }
    emulator::fail_capture(-1, cudaSuccess);
    EXPECT_FALSE(failure_of(job));
  }
}

}  // namespace
}  // namespace lockstep
