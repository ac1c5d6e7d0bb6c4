#include "backend/optimizer_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/optimizer_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

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

UpdateRule update_rule(const OptimizerConfig& config) {
  if (config.kind != OptimizerKind::sgd) return UpdateRule::adam;
  if (config.momentum <= 0.0) return UpdateRule::sgd;
  return config.nesterov ? UpdateRule::nesterov : UpdateRule::momentum;
}

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
