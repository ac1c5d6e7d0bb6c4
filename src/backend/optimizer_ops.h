// Optimizers over flat ranges: lockstep/math.h's formulas in vectors.
#pragma once

#include <cstddef>

#include "lockstep/math.h"
#include "lockstep/optimizer.h"

namespace lockstep {

// Equal-sized arrays; a rule uses as many states as OptimizerConfig::state_count says (velocity, or
// mean and variance), the others are null.
struct UpdateArrays {
  float* values = nullptr;
  const float* gradients = nullptr;
  float* state0 = nullptr;
  float* state1 = nullptr;
};

// Updates `size` parameters, any number; cutting the range elsewhere changes no bits.
void apply_update(UpdateRule rule, const UpdateScalars& scalars, const UpdateArrays& arrays,
                  size_t size);

}  // namespace lockstep
