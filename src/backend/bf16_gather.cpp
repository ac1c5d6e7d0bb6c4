// Features into bf16.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/bf16_gather.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/bf16-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Rows come in random order: they are on their way before they are converted.
constexpr int64_t kAhead = 4;

template <class T>
HWY_INLINE void prefetch_row(const T* row, int64_t columns) {
  const auto* line = reinterpret_cast<const uint8_t*>(row);
  for (size_t i = 0; i < columns * sizeof(T); i += 64) hwy::Prefetch(line + i);
}

template <class T>
HWY_INLINE void round_rows(const Batch& batch, const float* scale, const float* offset,
                           const RoundedRows& to) {
  const int64_t columns = batch.data->features.columns, size = batch.size();
  const auto row = [&](int64_t i) {
    return static_cast<const T*>(batch.data->features.data) + batch.sample(i) * columns;
  };
  for (int64_t i = 0; i < size; i += 2) {
    for (int64_t next = i + kAhead; next < std::min(i + kAhead + 2, size); ++next) {
      prefetch_row(row(next), columns);
    }
    const bool has_odd = i + 1 < size;
    const T* const rows[2] = {row(i), has_odd ? row(i + 1) : nullptr};
    if (scale) {
      store_row_pair(to, i, has_odd, columns, [=](bool odd, auto load_at) HWY_ATTR {
        return fma(load_at(rows[odd]), load_at(scale), load_at(offset));
      });
    } else {
      store_row_pair(to, i, has_odd, columns,
                     [=](bool odd, auto load_at) HWY_ATTR { return load_at(rows[odd]); });
    }
  }
}

void round_floats(const Batch& batch, const float* scale, const float* offset,
                  const RoundedRows& to) {
  round_rows<float>(batch, scale, offset, to);
}

void round_bytes(const Batch& batch, const float* scale, const float* offset,
                 const RoundedRows& to) {
  round_rows<uint8_t>(batch, scale, offset, to);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(round_floats);
HWY_EXPORT(round_bytes);

void round_features(const Batch& batch, const FeatureScaling& scaling, const RoundedRows& to) {
  if (batch.size() == 0) return;
  if (batch.data->features.type == FeatureType::uint8) {
    HWY_DYNAMIC_DISPATCH(round_bytes)(batch, scaling.scale(), scaling.offset(), to);
  } else {
    HWY_DYNAMIC_DISPATCH(round_floats)(batch, scaling.scale(), scaling.offset(), to);
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
