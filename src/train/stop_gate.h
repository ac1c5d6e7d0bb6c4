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
#include <span>

#include "comm/wait.h"
#include "lockstep/buffer.h"
#include "lockstep/error.h"

namespace lockstep {

class StopGate {
 public:
  // `stop` may be null: never.
  StopGate(int workers, const std::atomic<int>* stop) : own_(bytes_of(workers)), stop_(stop) {
    use(own_.span(), workers);
  }
  // Of workers in several processes: in bytes_of(workers) of zeroed memory that all of them see.
  // Each process has a `stop` of its own.
  StopGate(int workers, const std::atomic<int>* stop, std::span<std::byte> memory) : stop_(stop) {
    use(memory, workers);
  }
  static size_t bytes_of(int workers) {
    return sizeof(Limit) + static_cast<size_t>(workers) * sizeof(Started);
  }

  // Called before step `step` (counted from the start of training). False: do not start it.
  bool may_start(int rank, int64_t step, const WaitPolicy& policy) {
    // Announced before the freeze flag is read: this step is either counted or the flag is seen.
    started_[rank].step.store(step + 1, std::memory_order_seq_cst);
    if (stop_requested() && !limit_->frozen.exchange(true, std::memory_order_seq_cst)) {
      set_limit(rank);
    }
    if (limit_->frozen.load(std::memory_order_seq_cst)) {
      wait_until(
          policy, [&] { return limit() != kNoLimit; },
          [](double, const std::string&) {
            throw Error(ErrorKind::communication,
                        "the worker that was to say where all stop does not answer");
          });
    }
    return step < limit();
  }

  bool stopped() const { return limit() != kNoLimit; }
  bool stop_requested() const { return stop_ && stop_->load(std::memory_order_relaxed) != 0; }

 private:
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  // Zeroed memory is a gate that is open: nobody constructs these, and so nobody has to be first.
  struct alignas(128) Started {
    std::atomic<int64_t> step{0};  // steps started so far
  };
  struct alignas(128) Limit {
    std::atomic<bool> frozen{false};
    std::atomic<int64_t> above{0};  // the limit and 1; 0: none
  };

  void use(std::span<std::byte> memory, int workers) {
    limit_ = reinterpret_cast<Limit*>(memory.data());
    started_ = {reinterpret_cast<Started*>(limit_ + 1), static_cast<size_t>(workers)};
  }
  int64_t limit() const {
    const int64_t above = limit_->above.load(std::memory_order_acquire);
    return above == 0 ? kNoLimit : above - 1;
  }
  void set_limit(int rank) {
    // The caller itself has only announced its step, not started it.
    int64_t furthest = started_[rank].step.load(std::memory_order_relaxed) - 1;
    for (size_t other = 0; other < started_.size(); ++other) {
      if (static_cast<int>(other) == rank) continue;
      furthest = std::max(furthest, started_[other].step.load(std::memory_order_seq_cst));
    }
    limit_->above.store(furthest + 1, std::memory_order_release);
  }

  Buffer<std::byte> own_;
  Limit* limit_ = nullptr;
  std::span<Started> started_;
  const std::atomic<int>* stop_;
};

}  // namespace lockstep
