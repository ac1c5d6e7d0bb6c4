// The optimizers' rules over vectors, for flat ranges and for tiles of a weight gradient.
#if defined(LOCKSTEP_BACKEND_UPDATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_UPDATE_INL_H_
#undef LOCKSTEP_BACKEND_UPDATE_INL_H_
#else
#define LOCKSTEP_BACKEND_UPDATE_INL_H_
#endif

#include "backend/optimizer_ops.h"
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// A rule of `states` state arrays.
template <int states>
struct RuleBase {
  static constexpr int kStates = states;
  // The arrays from element `first` on, with gradients from elsewhere.
  static HWY_INLINE UpdateArrays at(const UpdateArrays& a, int64_t first, const float* gradients) {
    return {a.values + first, gradients, states > 0 ? a.state0 + first : nullptr,
            states > 1 ? a.state1 + first : nullptr};
  }
};

struct SgdRule : RuleBase<0> {
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight, Floats&,
                               Floats&) {
    sgd_plain(s, gradient, weight);
  }
};

struct MomentumRule : RuleBase<1> {
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight,
                               Floats& velocity, Floats&) {
    sgd_momentum(s, gradient, weight, velocity);
  }
};

struct NesterovRule : RuleBase<1> {
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight,
                               Floats& velocity, Floats&) {
    sgd_nesterov(s, gradient, weight, velocity);
  }
};

struct AdamRule : RuleBase<2> {
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight,
                               Floats& mean, Floats& variance) {
    adam(s, gradient, weight, mean, variance);
  }
};

// The scalars come by value: through a reference every store of a weight might change them.
template <class Rule>
HWY_INLINE void update_range(UpdateScalars s, const UpdateArrays& a, size_t size) {
  for_each_vector(size, [&](auto load_at, auto store_at) HWY_ATTR {
    Floats weight = load_at(a.values), state0, state1;
    if constexpr (Rule::kStates > 0) state0 = load_at(a.state0);
    if constexpr (Rule::kStates > 1) state1 = load_at(a.state1);
    Rule::apply(s, load_at(a.gradients), weight, state0, state1);
    if constexpr (Rule::kStates > 0) store_at(state0, a.state0);
    if constexpr (Rule::kStates > 1) store_at(state1, a.state1);
    store_at(weight, a.values);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_UPDATE_INL_H_
