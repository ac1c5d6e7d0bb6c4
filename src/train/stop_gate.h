// Stops all workers after the same step, whatever they wait for in between.
//
// Every worker announces the step that it is about to start. The first that sees a stop request
// freezes the gate, reads how far the others have come, and sets the limit to the furthest: nobody
// starts a step at or beyond it, and everybody finishes the steps below it, so no collective is
// left with a missing partner. A worker that meets the frozen gate waits for the one that froze it,
// which waits for nobody.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "comm/wait.h"

namespace lockstep {

class StopGate {
 public:
  // `stop` may be null: never.
  StopGate(int workers, const std::atomic<int>* stop) : started_(workers), stop_(stop) {}

  // Called before step `step` (counted from the start of training). False: do not start it.
  bool may_start(int rank, int64_t step, const WaitPolicy& policy) {
    // Announced before the freeze flag is read: this step is either counted or the flag is seen.
    started_[rank].step.store(step + 1, std::memory_order_seq_cst);
    if (stop_requested() && !frozen_.exchange(true, std::memory_order_seq_cst)) set_limit(rank);
    if (frozen_.load(std::memory_order_seq_cst)) {
      wait_until(
          policy, [&] { return limit() != kNoLimit; }, [] {});
    }
    return step < limit();
  }

  bool stopped() const { return limit() != kNoLimit; }
  bool stop_requested() const { return stop_ && stop_->load(std::memory_order_relaxed) != 0; }

 private:
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  struct alignas(128) Started {
    std::atomic<int64_t> step{0};  // steps started so far
  };

  int64_t limit() const { return limit_.load(std::memory_order_acquire); }
  void set_limit(int rank) {
    // The caller itself has only announced its step, not started it.
    int64_t furthest = started_[rank].step.load(std::memory_order_relaxed) - 1;
    for (size_t other = 0; other < started_.size(); ++other) {
      if (static_cast<int>(other) == rank) continue;
      furthest = std::max(furthest, started_[other].step.load(std::memory_order_seq_cst));
    }
    limit_.store(furthest, std::memory_order_release);
  }

  std::vector<Started> started_;
  std::atomic<bool> frozen_{false};
  std::atomic<int64_t> limit_{kNoLimit};
  const std::atomic<int>* stop_;
};

}  // namespace lockstep
