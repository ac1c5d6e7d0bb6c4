// The gradient of a convolution's input, taken through the activation and dropout of the layer
// below.
#pragma once

#include <cuda_runtime.h>

#include "kernels/conv_shape.h"
#include "kernels/image_below.h"
#include "lockstep/backend.h"

namespace lockstep {

// All pointers are to device memory, aligned to 16 bytes (index: 4). No output may overlap an
// input.
struct ConvBackwardInput {
  int batch = 0;  // may be 0: nothing is launched
  ConvShape shape;
  // [batch, pooled pixels, shape.output_pitch()], before this layer's activation; padding zero.
  const float* dy = nullptr;
  const unsigned char* index = nullptr;  // as conv_forward() wrote it; null where pool is 1
  const float* weight = nullptr;         // as conv_weights() lays it out
  ImageBelow below = {};                 // its output is this layer's input
  float* dx = nullptr;                   // [batch, height, width, shape.input_pitch]
};

// Queues the pass on `stream`, of the current device. REQUIRES: shape.input_pitch is a multiple of
// four. Throws Error (device) as conv_forward().
void conv_backward_input(const ConvBackwardInput& layer, Precision precision, cudaStream_t stream);

}  // namespace lockstep
