// y = dropout(pool(activation(x * w + b))), one convolution's forward pass.
#pragma once

#include <cuda_runtime.h>

#include "kernels/conv_shape.h"
#include "kernels/dropout.h"
#include "lockstep/backend.h"
#include "lockstep/model.h"

namespace lockstep {

// All pointers are to device memory, aligned to 16 bytes but for the bias. No output may overlap an
// input.
struct ConvForward {
  int batch = 0;  // may be 0: nothing is launched
  ConvShape shape;
  const float* x = nullptr;       // [batch, height, width, shape.input_pitch]
  const float* weight = nullptr;  // as conv_weights() lays it out
  const float* bias = nullptr;    // [outputs]
  DeviceImages<float> y = {};     // [batch] images of the outputs behind the pooling
  // [batch, pooled pixels, shape.output_pitch()], aligned to 4: where in its window the largest
  // output is, the first of equal ones, counted row by row. Null: not wanted.
  unsigned char* index = nullptr;
  Activation activation = Activation::none;
  DropoutMask dropout = {};  // of the layer behind; off by default
};

// Queues the pass on `stream`, of the current device. A NaN in a window is its largest value.
// Throws Error (device) where CUDA refuses it, where the device has no tensor cores for
// `precision`, and where a batch has 2^31 values or more.
void conv_forward(const ConvForward& layer, Precision precision, cudaStream_t stream);

}  // namespace lockstep
