// Max and average pooling of images, where no convolution's kernel pools its own outputs.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device_image.h"
#include "kernels/image_below.h"
#include "lockstep/model.h"

namespace lockstep {

// All pointers are to device memory. No output may overlap an input.
struct PoolForward {
  int batch = 0;  // may be 0: nothing is launched
  Pool2d pool;
  DeviceImages<const float> x = {};  // of pool.input, pixel by pixel
  DeviceImages<float> y = {};        // of pool.output()
  // [batch, output pixels, padded channels]: where in its window the largest value is, the first of
  // equal ones, counted row by row. Null: not wanted, or an average.
  std::int32_t* index = nullptr;
  DropoutMask dropout = {};  // of the layer behind; off by default
};

// Queues the pass on `stream`, of the current device. A NaN in a window is its largest value.
// Throws Error (device) where CUDA refuses it.
void pool_forward(const PoolForward& layer, cudaStream_t stream);

struct PoolBackward {
  int batch = 0;  // may be 0: nothing is launched
  Pool2d pool;
  DeviceImages<const float> dy = {};    // of pool.output(), pixel by pixel in padded channels
  const std::int32_t* index = nullptr;  // as pool_forward() wrote it; null of an average
  ImageBelow below = {};                // its output is this layer's input
  DeviceImages<float> dx = {};          // of pool.input, pixel by pixel
};

// dx: the gradient of the layer's input, through the activation and dropout below. Queues the pass
// on `stream`, of the current device. Throws Error (device) where CUDA refuses it.
void pool_backward(const PoolBackward& layer, cudaStream_t stream);

}  // namespace lockstep
