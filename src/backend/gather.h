// Reading a batch out of a data set: rows by index, bytes to floats, normalisation.
#pragma once

#include <cstdint>

#include "lockstep/backend.h"
#include "lockstep/buffer.h"
#include "lockstep/dataset.h"

namespace lockstep {

// x * scale[j] + offset[j] with one entry for every feature, expanded once when a step is compiled.
class FeatureScaling {
 public:
  FeatureScaling(const Normalization& normalization, int64_t columns);
  bool identity() const { return scale_.empty(); }
  const float* scale() const { return scale_.data(); }    // null for the identity
  const float* offset() const { return offset_.data(); }  // null for the identity

 private:
  Buffer<float> scale_;
  Buffer<float> offset_;
};

// The i-th of `parts` shares of a batch, cut as share_of cuts positions.
Batch part_of(const Batch& batch, int i, int parts);
// Samples [first, first + count) of a batch.
Batch slice_of_batch(const Batch& batch, int64_t first, int64_t count);

// rows[i, j] = features[batch.sample(i), j] * scale[j] + offset[j], one fused multiply-add, for
// rows of `stride` >= columns floats; then images are moved as the batch's augmentation says.
// Columns beyond the features are left alone.
void gather(const Batch& batch, const FeatureScaling& scaling, float* rows, int64_t stride);

}  // namespace lockstep
