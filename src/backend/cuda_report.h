// What a GPU tells of its steps, some steps after the host has queued them.
#pragma once

#include <atomic>
#include <cmath>
#include <optional>
#include <string>

#include "backend/cuda_memory.h"
#include "kernels/step_state.h"
#include "lockstep/error.h"

namespace lockstep {

class CudaReport {
 public:
  StepReport* device() const { return report_.device(); }
  const StepReport& host() const { return *report_.host(); }

  // A new epoch's first step is `step`, since training began. REQUIRES: nothing is under way.
  void begin(int64_t step) {
    seen_ = static_cast<unsigned>(step);
    returned_ = {};
    std::atomic_ref(report_.host()->steps).store(seen_, std::memory_order_release);
  }

  // Steps that have ended since training began, modulo 2^32.
  unsigned done() const {
    return std::atomic_ref(report_.host()->steps).load(std::memory_order_acquire);
  }

  // The latest step that has ended, where one has since the last call; `next` is the next to queue.
  std::optional<int64_t> latest(int64_t next) {
    const unsigned steps = done();
    if (steps == seen_) return std::nullopt;
    seen_ = steps;
    return next - static_cast<unsigned>(next - steps) - 1;
  }

  // Metrics of the epoch's steps up to `step`, the latest, without those returned before. Throws
  // Error (communication) where the workers' shares of a step were not a global batch: they do not
  // have the same data, seed and batch.
  BatchMetrics take(int64_t step) {
    check_samples();
    const StepRecord& record = report_.host()->of(step);
    first_bad_step_ = record.first_bad_step;
    const BatchMetrics fresh = {record.metrics.loss - returned_.loss,
                                record.metrics.correct - returned_.correct,
                                record.metrics.count - returned_.count};
    returned_ = record.metrics;
    return fresh;
  }

  int64_t first_bad_step() const { return first_bad_step_; }

  // From the next step on.
  void vote_to_stop() {
    std::atomic_ref(report_.host()->stop_vote).store(1, std::memory_order_release);
  }
  // The first step in which a worker voted to stop, of those before `next`; -1: none. It is known
  // once the step has ended, or earlier.
  int64_t stop_step(int64_t next) const {
    const unsigned after = std::atomic_ref(report_.host()->stop_step).load();
    return after == 0 ? -1 : next - static_cast<unsigned>(next - (after - 1));
  }

 private:
  void check_samples() const {
    const int64_t wrong = std::atomic_ref(report_.host()->wrong_step).load();
    if (wrong < 0) return;
    throw Error(ErrorKind::communication,
                "the workers' shares of step " + std::to_string(wrong + 1) + " add up to " +
                    std::to_string(std::llround(report_.host()->wrong_samples)) + " samples",
                "start every rank with the same data, batch and seed");
  }

  MappedValue<StepReport> report_;
  unsigned seen_ = 0;
  BatchMetrics returned_;  // of the epoch
  int64_t first_bad_step_ = -1;
};

}  // namespace lockstep
