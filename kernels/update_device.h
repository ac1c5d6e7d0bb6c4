// The optimizers' formulas (lockstep/math.h) by rule.
#pragma once

#include "kernels/device.h"
#include "lockstep/math.h"
#include "lockstep/optimizer.h"

namespace lockstep::device {

__device__ constexpr int states_of(UpdateRule rule) {
  if (rule == UpdateRule::sgd) return 0;
  return rule == UpdateRule::adam ? 2 : 1;
}

template <UpdateRule rule>
__device__ __forceinline__ void apply_rule(const UpdateScalars& scalars, float gradient,
                                           float& weight, [[maybe_unused]] float& state0,
                                           [[maybe_unused]] float& state1) {
  if constexpr (rule == UpdateRule::sgd) {
    sgd_plain(scalars, gradient, weight);
  } else if constexpr (rule == UpdateRule::momentum) {
    sgd_momentum(scalars, gradient, weight, state0);
  } else if constexpr (rule == UpdateRule::nesterov) {
    sgd_nesterov(scalars, gradient, weight, state0);
  } else {
    adam(scalars, gradient, weight, state0, state1);
  }
}

}  // namespace lockstep::device
