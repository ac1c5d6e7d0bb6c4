// Dropout layers as a GPU's kernels take them.
#pragma once

#include "backend/dropout.h"
#include "backend/mlp_plan.h"
#include "kernels/dropout.h"
#include "kernels/step_state.h"

namespace lockstep {

// `samples`: the batch's, in device memory. `state`: of the step; null in evaluation, which drops
// nothing.
inline DropoutMask dropout_mask(const DropoutSpec& dropout, uint64_t seed, const int64_t* samples,
                                const StepState* state) {
  if (!dropout.present() || !state) return {};
  const DropoutKey key = dropout_key(seed, dropout.layer, 0, dropout.p);
  return {.stream = key.stream,
          .threshold = key.threshold,
          .keep_scale = key.keep_scale,
          .samples = samples,
          .epoch = &state->epoch};
}

}  // namespace lockstep
