#include "backend/optimizer_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/optimizer_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Each rule names how many state arrays it keeps.
struct SgdRule {
  static constexpr int kStates = 0;
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight, Floats&,
                               Floats&) {
    sgd_plain(s, gradient, weight);
  }
};

struct MomentumRule {
  static constexpr int kStates = 1;
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight,
                               Floats& velocity, Floats&) {
    sgd_momentum(s, gradient, weight, velocity);
  }
};

struct NesterovRule {
  static constexpr int kStates = 1;
  static HWY_INLINE void apply(const UpdateScalars& s, Floats gradient, Floats& weight,
                               Floats& velocity, Floats&) {
    sgd_nesterov(s, gradient, weight, velocity);
  }
};

struct AdamRule {
  static constexpr int kStates = 2;
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

void update_sgd(const UpdateScalars& s, const UpdateArrays& a, size_t size) {
  update_range<SgdRule>(s, a, size);
}
void update_momentum(const UpdateScalars& s, const UpdateArrays& a, size_t size) {
  update_range<MomentumRule>(s, a, size);
}
void update_nesterov(const UpdateScalars& s, const UpdateArrays& a, size_t size) {
  update_range<NesterovRule>(s, a, size);
}
void update_adam(const UpdateScalars& s, const UpdateArrays& a, size_t size) {
  update_range<AdamRule>(s, a, size);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(update_sgd);
HWY_EXPORT(update_momentum);
HWY_EXPORT(update_nesterov);
HWY_EXPORT(update_adam);

void apply_update(UpdateRule rule, const UpdateScalars& scalars, const UpdateArrays& arrays,
                  size_t size) {
  switch (rule) {
    case UpdateRule::sgd: return HWY_DYNAMIC_DISPATCH(update_sgd)(scalars, arrays, size);
    case UpdateRule::momentum: return HWY_DYNAMIC_DISPATCH(update_momentum)(scalars, arrays, size);
    case UpdateRule::nesterov: return HWY_DYNAMIC_DISPATCH(update_nesterov)(scalars, arrays, size);
    case UpdateRule::adam: return HWY_DYNAMIC_DISPATCH(update_adam)(scalars, arrays, size);
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
