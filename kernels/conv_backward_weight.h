// The gradients of a convolution's weight and bias, of all its units (output channels) or of a
// range of them.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/conv_shape.h"
#include "lockstep/backend.h"

namespace lockstep {

// All pointers are to device memory and to the whole layer's values, whatever the range; those of
// images are aligned to 16 bytes (index: 4). No output may overlap an input.
struct ConvBackwardWeight {
  int batch = 0;  // may be 0: the gradients are then zero
  ConvShape shape;
  int first_unit = 0;  // a multiple of 4
  int units = 0;       // may be 0: nothing is launched
  // [batch, pooled pixels, shape.output_pitch()], before this layer's activation.
  const float* dy = nullptr;
  const unsigned char* index = nullptr;  // as conv_forward() wrote it; null where pool is 1
  const float* x = nullptr;              // [batch, height, width, shape.input_pitch]
  float* dweight = nullptr;              // [outputs, channels, kernel_height, kernel_width]
  float* dbias = nullptr;                // [outputs]
  float* workspace = nullptr;  // conv_backward_weight_workspace() floats, aligned to 16 bytes
};

// Floats that a pass over any range of such a layer works in on the current device; may be 0. All
// such passes in a stream may share them.
std::size_t conv_backward_weight_workspace(const ConvShape& shape, int batch);

// Queues the pass on `stream`, of the current device: sums over the samples, not means, in an order
// fixed by the layer's sizes, the precision and the number of multiprocessors: a unit's gradient
// has the same bits whatever range it is computed in. Throws Error (device) as conv_forward().
void conv_backward_weight(const ConvBackwardWeight& layer, Precision precision,
                          cudaStream_t stream);

}  // namespace lockstep
