// What kernels do with a StepState.
#pragma once

#include <cmath>

#include "kernels/device.h"
#include "kernels/step_state.h"

namespace lockstep::device {

__device__ __forceinline__ bool diverged(const StepState& state) {
  return state.first_bad_step >= 0;
}

// Adds a batch's sums to the epoch's. By one thread.
__device__ __forceinline__ void add_metrics(BatchMetrics& to, double loss, std::int64_t correct,
                                            std::int64_t count) {
  to.loss += loss;
  to.correct += correct;
  to.count += count;
}

// By one thread, after a step's loss is known and before its update.
__device__ __forceinline__ void note_loss(StepState& state, double loss) {
  if (!std::isfinite(loss) && !diverged(state)) state.first_bad_step = state.step;
}

// By one thread, after everything else of the step.
__device__ __forceinline__ void advance(StepState& state, StepReport* report) {
  if (report) {
    StepRecord& record = report->records[state.step % StepReport::kRecords];
    record.step = state.step;
    record.metrics = state.metrics;
    record.first_bad_step = state.first_bad_step;
    store_release(&report->steps, static_cast<unsigned>(state.step + 1));
  }
  ++state.batch;
  ++state.step;
}

}  // namespace lockstep::device
