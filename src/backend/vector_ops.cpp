#include "backend/vector_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/vector_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

void add_loop(float* HWY_RESTRICT dst, const float* HWY_RESTRICT src, size_t size) {
  for_each_vector(size, [=](auto load_at, auto store_at)
                            HWY_ATTR { store_at(load_at(dst) + load_at(src), dst); });
}

void sum_loop(float* dst, const float* const* sources, size_t source_count, size_t size) {
  for_each_vector(size, [=](auto load_at, auto store_at) HWY_ATTR {
    Floats sum = load_at(sources[0]);
    for (size_t s = 1; s < source_count; ++s) sum = sum + load_at(sources[s]);
    store_at(sum, dst);
  });
}

void scale_loop(float* dst, float factor, size_t size) {
  const Floats factors(factor);
  for_each_vector(
      size, [=](auto load_at, auto store_at) HWY_ATTR { store_at(factors * load_at(dst), dst); });
}

void axpy_loop(float* HWY_RESTRICT dst, float factor, const float* HWY_RESTRICT src, size_t size) {
  const Floats factors(factor);
  for_each_vector(size, [=](auto load_at, auto store_at)
                            HWY_ATTR { store_at(fma(factors, load_at(src), load_at(dst)), dst); });
}

void weighted_sum_loop(float* dst, const float* const* sources, const float* weights,
                       size_t source_count, size_t size) {
  for_each_vector(size, [=](auto load_at, auto store_at) HWY_ATTR {
    Floats sum = Floats(weights[0]) * load_at(sources[0]);
    for (size_t s = 1; s < source_count; ++s) {
      sum = fma(Floats(weights[s]), load_at(sources[s]), sum);
    }
    store_at(sum, dst);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>

namespace lockstep {

HWY_EXPORT(add_loop);
HWY_EXPORT(sum_loop);
HWY_EXPORT(scale_loop);
HWY_EXPORT(axpy_loop);
HWY_EXPORT(weighted_sum_loop);

void add(std::span<float> dst, std::span<const float> src) {
  HWY_DYNAMIC_DISPATCH(add_loop)(dst.data(), src.data(), dst.size());
}

void sum_in_order(std::span<float> dst, std::span<const float* const> sources) {
  if (sources.empty()) {
    std::fill(dst.begin(), dst.end(), 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(sum_loop)(dst.data(), sources.data(), sources.size(), dst.size());
}

void scale(std::span<float> dst, float factor) {
  HWY_DYNAMIC_DISPATCH(scale_loop)(dst.data(), factor, dst.size());
}

void axpy(std::span<float> dst, float factor, std::span<const float> src) {
  HWY_DYNAMIC_DISPATCH(axpy_loop)(dst.data(), factor, src.data(), dst.size());
}

void weighted_sum(std::span<float> dst, std::span<const float* const> sources,
                  std::span<const float> weights) {
  if (sources.empty()) {
    std::fill(dst.begin(), dst.end(), 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(weighted_sum_loop)
  (dst.data(), sources.data(), weights.data(), sources.size(), dst.size());
}

}  // namespace lockstep
#endif  // HWY_ONCE
