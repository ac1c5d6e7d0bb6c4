// The optimizer's update of the flat parameter buffer, or of a range of it.
#pragma once

#include <cuda_runtime.h>

#include "kernels/step_state.h"
#include "lockstep/optimizer.h"
#include "lockstep/parameters.h"

namespace lockstep {

// The flat buffers' beginnings, aligned to 128 bytes. A rule uses as many states as
// OptimizerConfig::state_count says (velocity, or mean and variance), the others are null.
struct ParameterPointers {
  float* values = nullptr;
  const float* gradients = nullptr;  // sums over samples
  float* state0 = nullptr;
  float* state1 = nullptr;
};

// values -= ... over `range`, with the scalars of the step that the state names; bitwise what the
// CPU does to the same numbers, wherever ranges are cut. Nothing changes from the first loss on
// that is not finite. REQUIRES: range begins and ends at multiples of 4 floats.
void update(UpdateRule rule, Range range, const ParameterPointers& parameters,
            const StepPointers& step, cudaStream_t stream);

}  // namespace lockstep
