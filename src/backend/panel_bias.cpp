// Bias gradients from panels: sums of lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_bias.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/panel_gemm.h"
#include "backend/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr auto kStep = static_cast<int64_t>(kLanes);

// lanes[(first + i) % 32] += lane i of every panel, for one unit. REQUIRES: `first` a multiple of
// kLanes.
HWY_INLINE void add_panels(ConstPanels dy, int64_t unit, int64_t first, float* lanes) {
  for (int64_t i = 0; i < kPanelSamples; i += kStep) {
    float* const to = lanes + (first + i) % kPanelSamples;
    Floats sum = load(to);
    for (int64_t p = 0; p < dy.count(); ++p) {
      if (i < dy.width(p)) sum = sum + load(dy.panel(p) + unit * kPanelSamples + i);
    }
    store(sum, to);
  }
}

// The same for any `first`.
HWY_INLINE void add_share(ConstPanels dy, int64_t unit, int64_t first, float* lanes) {
  if (first % kStep == 0) return add_panels(dy, unit, first, lanes);
  std::rotate(lanes, lanes + first, lanes + kPanelSamples);
  add_panels(dy, unit, 0, lanes);
  std::rotate(lanes, lanes + kPanelSamples - first, lanes + kPanelSamples);
}

// Lane i + lane i + 16, then + 8, then + 4, until four lanes are left.
template <class D, class V>
HWY_INLINE void fold_vector(D d, V sum, float* four) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    StoreU(sum, d, four);
  } else {
    const hn::Half<D> half;
    fold_vector(half, Add(LowerHalf(half, sum), UpperHalf(half, sum)), four);
  }
}

HWY_INLINE void fold_lanes(float* lanes, float* four) {
  constexpr int64_t kLeft = std::max<int64_t>(kStep, 4);
  for (int64_t half = kPanelSamples / 2; half >= kLeft; half /= 2) {
    for (int64_t i = 0; i < half; i += kStep) {
      store(load(lanes + i) + load(lanes + half + i), lanes + i);
    }
  }
  if constexpr (kStep < 4) {
    std::copy_n(lanes, 4, four);
  } else {
    fold_vector(FloatTag(), load(lanes).raw, four);
  }
}

// Units side by side for the last four lanes: i + i + 2, then + 1.
HWY_INLINE Floats fold_fours(const float* fours) {
  FloatVector lane[4];
  load_columns(FloatTag(), fours, 4, lane);
  return (Floats(lane[0]) + Floats(lane[2])) + (Floats(lane[1]) + Floats(lane[3]));
}

// One chain over the shares.
void bias_gradient(std::span<const LayerFactors> shares, UnitRange units, bool add, float* db) {
  HWY_ALIGN float fours[4 * kLanes] = {};
  for (int64_t begin = units.begin; begin < units.end; begin += kStep) {
    const int64_t count = std::min(kStep, units.end - begin);
    for (int64_t u = 0; u < count; ++u) {
      HWY_ALIGN float lanes[kPanelSamples] = {};
      int64_t first = 0;
      for (const LayerFactors& share : shares) {
        add_share(share.dy, begin + u, first, lanes);
        first = (first + share.dy.samples) % kPanelSamples;
      }
      fold_lanes(lanes, fours + 4 * u);
    }
    Floats sums = fold_fours(fours);
    float* const to = db + (begin - units.begin);
    if (count == kStep) {
      store(add ? load(to) + sums : sums, to);
    } else {
      store_tail(add ? load_tail(to, count) + sums : sums, to, count);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(bias_gradient);

void panel_bias_gradient(std::span<const LayerFactors> shares, UnitRange units, ShareSum sum,
                         float* db) {
  if (sum == ShareSum::chain) {
    return HWY_DYNAMIC_DISPATCH(bias_gradient)(shares, units, false, db);
  }
  for (size_t i = 0; i < shares.size(); ++i) {
    HWY_DYNAMIC_DISPATCH(bias_gradient)(shares.subspan(i, 1), units, i > 0, db);
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
