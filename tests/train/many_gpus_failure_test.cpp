// Workers and communication that fail in the middle of a training on several GPUs: all of them end,
// soon, with the error that was the cause, and nothing stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "emulator/communication.h"
#include "lockstep/error.h"
#include "many_gpus.h"

namespace lockstep {
namespace {

using testing::Change;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::make_dataset;

class ManyGpusFailure : public testing::ManyGpusTest {
 protected:
  void TearDown() override {
    expect_nothing_left();
    ManyGpusTest::TearDown();
  }
  static void expect_nothing_left() {
    EXPECT_EQ(emulator::held(), "");
    EXPECT_EQ(emulator::communication_threads(), 0);
  }

  static constexpr double kTimeout = 3.0;  // where a test waits for it
  static constexpr double kSoon = 60.0;    // not never, on any machine

  std::optional<Error> failure_of(int workers, const Change& job) const {
    const auto start = std::chrono::steady_clock::now();
    std::optional<Error> failure;
    try {
      train_gpus(dataset_, workers, [&](Config& c) {
        c.epochs = 2;
        c.bucket_mb = 0.001;
        job(c);
      });
    } catch (const Error& error) {
      failure = error;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), kTimeout + kSoon);
    return failure;
  }

  const Dataset dataset_ = make_dataset();
};

const Change kPlain = [](Config&) {};
const Change kOrdered = [](Config& c) { c.deterministic = true; };
const Change kLocal = [](Config& c) {
  c.strategy = Strategy::local_sgd;
  c.bucket_mb.reset();
};

// 18 steps of three sums each (two exchanges in the ordered case).
TEST_F(ManyGpusFailure, AnErrorOfNcclEndsTheRun) {
  for (const Change& job : {kPlain, kOrdered, kLocal}) {
    for (const int workers : {2, 4}) {
      for (const long k : {0L, 1L, 7L, 15L}) {
        SCOPED_TRACE(std::to_string(workers) + " workers, collective " + std::to_string(k));
        emulator::fail_collective(static_cast<int>(k) % workers, k, ncclRemoteError);
        const std::optional<Error> error = failure_of(workers, job);
        ASSERT_TRUE(error);
        EXPECT_EQ(error->kind(), ErrorKind::communication);
        EXPECT_THAT(error->what(), HasSubstr("NCCL"));
        EXPECT_FALSE(error->remedy().empty());
        expect_nothing_left();
      }
    }
  }
}

TEST_F(ManyGpusFailure, AStepThatDoesNotEndIsAnErrorAtTheDeadline) {
  constexpr long kTensors = 6;  // a sum each
  for (const long k : {0L, 10L}) {
    emulator::hold_collective(1, k);
    const std::optional<Error> error = failure_of(3, [](Config& c) {
      c.bucket_mb = 0.0;
      c.comm_timeout = kTimeout;
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::communication);
    EXPECT_THAT(error->what(), HasSubstr("step " + std::to_string(k / kTensors + 1) + ", bucket " +
                                         std::to_string(k % kTensors + 1) + " of 6"));
    EXPECT_THAT(error->what(), ContainsRegex("has waited [0-9]+\\.[0-9] s"));
    EXPECT_THAT(error->remedy(), HasSubstr("--comm-timeout"));
    expect_nothing_left();
  }
}

TEST_F(ManyGpusFailure, ARankThatDoesNotArriveIsAnErrorAtTheDeadlineOfTheStart) {
  emulator::hold_init(1, 0);
  const std::optional<Error> error = failure_of(3, [](Config& c) { c.init_timeout = kTimeout; });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::communication);
  EXPECT_THAT(error->what(), HasSubstr("did not connect within 3 s"));
  EXPECT_THAT(error->remedy(), HasSubstr("NCCL_SOCKET_IFNAME"));
}

TEST_F(ManyGpusFailure, AStartThatFailsIsAnError) {
  for (const int rank : {0, 2}) {
    emulator::fail_init(rank, 0);
    const std::optional<Error> error = failure_of(3, kPlain);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::communication);
    expect_nothing_left();
  }
}

// Its peers wait in a sum that never comes.
TEST_F(ManyGpusFailure, AWorkerThatFailsStopsItsPeers) {
  failure_of(3, kPlain);
  const long allocations = emulator::allocations_seen();
  ASSERT_GT(allocations, 60);
  for (long k = 0; k < allocations; k += 13) {
    SCOPED_TRACE("allocation " + std::to_string(k));
    emulator::fail_allocation(k);
    const std::optional<Error> error = failure_of(3, kPlain);
    emulator::fail_allocation(-1);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::device) << error->what();
    expect_nothing_left();
  }
}

TEST_F(ManyGpusFailure, AKernelThatFailsStopsItsPeers) {
  failure_of(3, kPlain);
  const long kernels = emulator::kernels_seen();
  ASSERT_GT(kernels, 300);
  for (const long k : {20L, 100L, kernels / 2, kernels - 20}) {
    SCOPED_TRACE("kernel " + std::to_string(k));
    testing::renew_devices(kMostGpus);
    emulator::fail_kernel(k, cudaErrorIllegalAddress);
    const std::optional<Error> error = failure_of(3, kPlain);
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), HasSubstr("illegal"));
    testing::renew_devices(kMostGpus);
  }
}

TEST_F(ManyGpusFailure, NothingOfARunThatEndsWellStaysBehind) {
  for (const Change& job : {kPlain, kOrdered, kLocal}) {
    for (const int workers : {1, 2, 8}) {
      EXPECT_FALSE(failure_of(workers, job));
      expect_nothing_left();
    }
  }
}

}  // namespace
}  // namespace lockstep
