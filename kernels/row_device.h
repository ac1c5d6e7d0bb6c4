// How kernels find and read rows of a resident data set.
#pragma once

#include "kernels/batch_rows.h"
#include "kernels/device.h"
#include "kernels/step_state.h"

namespace lockstep::device {

// The data set's row that is row i of the batch. `state` is null outside training.
__device__ __forceinline__ std::int64_t sample_of(const BatchRows& batch, const StepState* state,
                                                  std::int64_t i) {
  std::int64_t position = batch.first + i;
  if (state) position += state->batch * batch.global_batch;
  return batch.shuffled ? permuted(batch.domain, state->keys, position) : position;
}

// `Width` (1 or 4) consecutive features as floats; four are aligned to their own size.
template <int Width, class T>
__device__ __forceinline__ void load_features(const T* from, float (&to)[Width]) {
  if constexpr (Width == 1) {
    to[0] = static_cast<float>(*from);
  } else if constexpr (sizeof(T) == 1) {
    const uchar4 four = *reinterpret_cast<const uchar4*>(from);
    to[0] = four.x;
    to[1] = four.y;
    to[2] = four.z;
    to[3] = four.w;
  } else {
    const float4 four = *reinterpret_cast<const float4*>(from);
    to[0] = four.x;
    to[1] = four.y;
    to[2] = four.z;
    to[3] = four.w;
  }
}

__device__ __forceinline__ float scaled(const FeatureScale& scale, float x, std::int64_t column) {
  if (!scale.scale) return fmaf(x, scale.common_scale, scale.common_offset);
  return fmaf(x, scale.scale[column], scale.offset[column]);
}

}  // namespace lockstep::device
