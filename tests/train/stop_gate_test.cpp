#include "train/stop_gate.h"

#include <gtest/gtest.h>

#include <thread>

namespace lockstep {
namespace {

TEST(StopGate, EveryWorkerFinishesTheSameSteps) {
  for (int trial = 0; trial < 20; ++trial) {
    constexpr int kWorkers = 4;
    std::atomic<int> stop{0};
    StopGate gate(kWorkers, &stop);
    WaitPolicy policy;
    policy.spins = 0;
    int64_t finished[kWorkers] = {};
    std::vector<std::thread> threads;
    for (int rank = 0; rank < kWorkers; ++rank) {
      threads.emplace_back([&, rank] {
        int64_t step = 0;
        while (gate.may_start(rank, step, policy)) {
          ++step;
          if (rank == 1 && step == 20 + trial) stop = 1;
        }
        finished[rank] = step;
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (int rank = 1; rank < kWorkers; ++rank) EXPECT_EQ(finished[rank], finished[0]);
  }
}

TEST(StopGate, IsOpenWithoutARequest) {
  StopGate gate(1, nullptr);
  WaitPolicy policy;
  for (int64_t step = 0; step < 10; ++step) EXPECT_TRUE(gate.may_start(0, step, policy));
  EXPECT_FALSE(gate.stopped());
}

}  // namespace
}  // namespace lockstep
