// The sum of a panel's 32 lanes in an order that knows no vector width: lane i + lane i + 16, then
// + 8, + 4, + 2, + 1.
#if defined(LOCKSTEP_BACKEND_LANE_SUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_LANE_SUM_INL_H_
#undef LOCKSTEP_BACKEND_LANE_SUM_INL_H_
#else
#define LOCKSTEP_BACKEND_LANE_SUM_INL_H_
#endif

#include "backend/panel.h"
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// REQUIRES: 32 floats, aligned. Overwrites them.
HWY_INLINE float sum_lanes(float* lanes) {
  constexpr auto kStep = static_cast<int64_t>(kLanes);
  int64_t half = kPanelSamples / 2;
  for (; half >= kStep; half /= 2) {
    for (int64_t i = 0; i < half; i += kStep) {
      store(load(lanes + i) + load(lanes + half + i), lanes + i);
    }
  }
  for (; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[half + i];
  }
  return lanes[0];
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_LANE_SUM_INL_H_
