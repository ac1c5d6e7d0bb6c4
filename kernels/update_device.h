// The optimizers' formulas (lockstep/math.h) by rule, on one parameter and on four.
#pragma once

#include "kernels/device.h"
#include "kernels/optimizer.h"
#include "lockstep/math.h"

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

// Parameter `at`, whose gradient is given.
template <UpdateRule rule>
__device__ __forceinline__ void update_one(const ParameterPointers& p, const UpdateScalars& scalars,
                                           std::size_t at, float gradient) {
  float weight = p.values[at], state0 = 0.0F, state1 = 0.0F;
  if constexpr (states_of(rule) > 0) state0 = p.state0[at];
  if constexpr (states_of(rule) > 1) state1 = p.state1[at];
  apply_rule<rule>(scalars, gradient, weight, state0, state1);
  if constexpr (states_of(rule) > 0) p.state0[at] = state0;
  if constexpr (states_of(rule) > 1) p.state1[at] = state1;
  p.values[at] = weight;
}

// Parameters [at, at + 4), at % 4 == 0, in one load and one store an array.
template <UpdateRule rule>
__device__ __forceinline__ void update_four(const ParameterPointers& p,
                                            const UpdateScalars& scalars, std::size_t at,
                                            const float4& gradient) {
  const auto four = [at](float* array) { return reinterpret_cast<float4*>(array + at); };
  float4 weight = *four(p.values);
  float4 state0{}, state1{};
  if constexpr (states_of(rule) > 0) state0 = *four(p.state0);
  if constexpr (states_of(rule) > 1) state1 = *four(p.state1);
  apply_rule<rule>(scalars, gradient.x, weight.x, state0.x, state1.x);
  apply_rule<rule>(scalars, gradient.y, weight.y, state0.y, state1.y);
  apply_rule<rule>(scalars, gradient.z, weight.z, state0.z, state1.z);
  apply_rule<rule>(scalars, gradient.w, weight.w, state0.w, state1.w);
  if constexpr (states_of(rule) > 0) *four(p.state0) = state0;
  if constexpr (states_of(rule) > 1) *four(p.state1) = state1;
  *four(p.values) = weight;
}

}  // namespace lockstep::device
