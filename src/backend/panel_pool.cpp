// Pooling alone over panels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_pool.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/panel_conv.h"
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr auto kStep = static_cast<int64_t>(kLanes);

// Calls with each window: its output and its first input, in floats of a panel.
template <class Call>
HWY_INLINE void for_each_window(const Pool2d& pool, const Call& call) {
  const ImageShape output = pool.output();
  int64_t to = 0;
  for (int64_t c = 0; c < output.channels; ++c) {
    for (int64_t y = 0; y < output.height; ++y) {
      for (int64_t x = 0; x < output.width; ++x) {
        const int64_t from = (c * pool.input.height + y * pool.stride) * pool.input.width;
        call(to++ * kPanelSamples, (from + x * pool.stride) * kPanelSamples);
      }
    }
  }
}

HWY_INLINE int64_t pixel(const Pool2d& pool, int64_t i) {
  return (i / pool.kernel * pool.input.width + i % pool.kernel) * kPanelSamples;
}

HWY_INLINE auto is_larger(FloatVector y, FloatVector best) {
  return hn::Or(hn::Gt(y, best), hn::IsNaN(y));
}

void forward(const Pool2d& pool, const float* x, int64_t width, float* y) {
  const FloatTag d;
  const int64_t pixels = pool.kernel * pool.kernel;
  const FloatVector scale = hn::Set(d, 1.0f / static_cast<float>(pixels));
  for_each_window(pool, [&](int64_t to, int64_t from) HWY_ATTR {
    for (int64_t lane = 0; lane < width; lane += kStep) {
      FloatVector result = hn::LoadU(d, x + from + lane);
      for (int64_t i = 1; i < pixels; ++i) {
        const FloatVector value = hn::LoadU(d, x + from + pixel(pool, i) + lane);
        result = pool.kind == PoolKind::max
                     ? hn::IfThenElse(is_larger(value, result), value, result)
                     : hn::Add(result, value);
      }
      if (pool.kind == PoolKind::average) result = hn::Mul(result, scale);
      hn::StoreU(result, d, y + to + lane);
    }
  });
}

HWY_INLINE void add_to(float* at, FloatVector value) {
  hn::StoreU(hn::Add(hn::LoadU(FloatTag(), at), value), FloatTag(), at);
}

void backward(const Pool2d& pool, const float* x, const float* dy, int64_t width, float* dx) {
  const FloatTag d;
  const int64_t pixels = pool.kernel * pool.kernel;
  const FloatVector scale = hn::Set(d, 1.0f / static_cast<float>(pixels));
  std::fill_n(dx, pool.input.size() * kPanelSamples, 0.0f);
  for_each_window(pool, [&](int64_t to, int64_t from) HWY_ATTR {
    for (int64_t lane = 0; lane < width; lane += kStep) {
      FloatVector gradient = hn::LoadU(d, dy + to + lane);
      if (pool.kind == PoolKind::average) {
        gradient = hn::Mul(gradient, scale);
        for (int64_t i = 0; i < pixels; ++i) add_to(dx + from + pixel(pool, i) + lane, gradient);
        continue;
      }
      FloatVector best = hn::LoadU(d, x + from + lane), place = hn::Zero(d);
      for (int64_t i = 1; i < pixels; ++i) {
        const FloatVector value = hn::LoadU(d, x + from + pixel(pool, i) + lane);
        const auto larger = is_larger(value, best);
        best = hn::IfThenElse(larger, value, best);
        place = hn::IfThenElse(larger, hn::Set(d, static_cast<float>(i)), place);
      }
      for (int64_t i = 0; i < pixels; ++i) {
        const auto here = hn::Eq(place, hn::Set(d, static_cast<float>(i)));
        add_to(dx + from + pixel(pool, i) + lane, hn::IfThenElseZero(here, gradient));
      }
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(forward);
HWY_EXPORT(backward);

void panel_pool_forward(const Pool2d& pool, const float* x, int64_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(forward)(pool, x, width, y);
}

void panel_pool_backward(const Pool2d& pool, const float* x, const float* dy, int64_t width,
                         float* dx) {
  HWY_DYNAMIC_DISPATCH(backward)(pool, x, dy, width, dx);
}

}  // namespace lockstep
#endif  // HWY_ONCE
