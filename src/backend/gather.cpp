#include "backend/gather.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/gather.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/simd-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE void convert_row(const T* from, const float* scale, const float* offset, int64_t columns,
                            float* to) {
  if (!scale) {
    for_each_vector(columns,
                    [=](auto load_at, auto store_at) HWY_ATTR { store_at(load_at(from), to); });
    return;
  }
  for_each_vector(columns, [=](auto load_at, auto store_at) HWY_ATTR {
    store_at(fma(load_at(from), load_at(scale), load_at(offset)), to);
  });
}

// Rows come in random order: the one after next is on its way while this one is converted.
HWY_INLINE void prefetch_row(const void* row, size_t bytes) {
  const auto* line = static_cast<const uint8_t*>(row);
  for (size_t i = 0; i < bytes; i += 64) hwy::Prefetch(line + i);
}

template <class T>
HWY_INLINE void gather_rows(const Batch& batch, const float* scale, const float* offset,
                            float* rows, int64_t stride) {
  constexpr int64_t kAhead = 2;
  const int64_t columns = batch.data->features.columns;
  const auto* features = static_cast<const T*>(batch.data->features.data);
  const int64_t size = batch.size();
  for (int64_t i = 0; i < size; ++i) {
    if (i + kAhead < size) {
      prefetch_row(features + batch.sample(i + kAhead) * columns, columns * sizeof(T));
    }
    convert_row(features + batch.sample(i) * columns, scale, offset, columns, rows + i * stride);
  }
}

void gather_floats(const Batch& batch, const float* scale, const float* offset, float* rows,
                   int64_t stride) {
  gather_rows<float>(batch, scale, offset, rows, stride);
}

void gather_bytes(const Batch& batch, const float* scale, const float* offset, float* rows,
                  int64_t stride) {
  gather_rows<uint8_t>(batch, scale, offset, rows, stride);
}

void gather_halves(const Batch& batch, const float* scale, const float* offset, float* rows,
                   int64_t stride) {
  gather_rows<Bf16>(batch, scale, offset, rows, stride);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>

namespace lockstep {

HWY_EXPORT(gather_floats);
HWY_EXPORT(gather_bytes);
HWY_EXPORT(gather_halves);

FeatureScaling::FeatureScaling(const Normalization& normalization, int64_t columns) {
  if (normalization.identity()) return;
  const auto expand = [columns](const std::vector<float>& from) {
    Buffer<float> to(columns);
    if (from.size() == 1) {
      std::fill(to.begin(), to.end(), from[0]);
    } else {
      std::copy_n(from.begin(), columns, to.begin());
    }
    return to;
  };
  scale_ = expand(normalization.scale);
  offset_ = expand(normalization.offset);
}

Batch slice_of_batch(const Batch& batch, int64_t first, int64_t count) {
  Batch part = batch;
  if (batch.contiguous) {
    part.contiguous_range = {batch.contiguous_range.begin + first,
                             batch.contiguous_range.begin + first + count};
  } else {
    part.samples = batch.samples.subspan(first, count);
  }
  return part;
}

Batch part_of(const Batch& batch, int i, int parts) {
  const IndexRange share = share_of({0, batch.size()}, i, parts);
  return slice_of_batch(batch, share.begin, share.size());
}

namespace {

// One image [image.size()] from the same before it was moved.
void move_image(const Augmentation& augmentation, const ImageMove& move, const float* from,
                const float* zeros, float* to) {
  const ImageShape& image = augmentation.image;
  for (int64_t row = 0; row < image.channels * image.height; ++row) {
    for (int64_t x = 0; x < image.width; ++x) {
      const int64_t j = row * image.width + x;
      const int32_t source = augmentation.source(move, static_cast<int32_t>(j));
      to[j] = source >= 0 ? from[source] : zeros ? zeros[j] : 0.0f;
    }
  }
}

// Rows of images, converted, to what training sees of them. A zero of the data is the offset after
// normalisation.
void augment(const Batch& batch, const FeatureScaling& scaling, float* rows, int64_t stride) {
  const Augmentation& augmentation = *batch.augmentation;
  Buffer<float> still(augmentation.image.size());
  for (int64_t i = 0; i < batch.size(); ++i) {
    const auto sample = static_cast<uint64_t>(batch.sample(i));
    const ImageMove move = augmentation.move(batch.epoch, sample);
    if (move.dy == 0 && move.dx == 0 && !move.mirrored) continue;
    float* const row = rows + i * stride;
    std::copy_n(row, still.size(), still.data());
    move_image(augmentation, move, still.data(), scaling.offset(), row);
  }
}

void convert(const Batch& batch, const FeatureScaling& scaling, float* rows, int64_t stride) {
  const float* const scale = scaling.scale();
  const float* const offset = scaling.offset();
  switch (batch.data->features.type) {
    case FeatureType::float32:
      return HWY_DYNAMIC_DISPATCH(gather_floats)(batch, scale, offset, rows, stride);
    case FeatureType::uint8:
      return HWY_DYNAMIC_DISPATCH(gather_bytes)(batch, scale, offset, rows, stride);
    case FeatureType::bfloat16:
      return HWY_DYNAMIC_DISPATCH(gather_halves)(batch, scale, offset, rows, stride);
  }
}

}  // namespace

void gather(const Batch& batch, const FeatureScaling& scaling, float* rows, int64_t stride) {
  if (batch.size() == 0) return;
  convert(batch, scaling, rows, stride);
  if (batch.augmentation) augment(batch, scaling, rows, stride);
}

}  // namespace lockstep
#endif  // HWY_ONCE
