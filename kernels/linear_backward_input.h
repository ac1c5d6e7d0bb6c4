// The gradient of a linear layer's input, taken through the activation and dropout of the layer
// below.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/device_rows.h"
#include "kernels/dropout.h"
#include "lockstep/backend.h"
#include "lockstep/model.h"

namespace lockstep {

// All pointers are to device memory. No output may overlap an input.
struct LinearBackwardInput {
  int batch = 0;   // may be 0: nothing is launched
  int inputs = 0;  // of this layer: units of the layer below
  int outputs = 0;
  DeviceRows<const float> dy = {};  // [batch, outputs], before this layer's activation
  const float* weight = nullptr;    // [outputs, inputs], without padding between rows
  DeviceRows<const float> x = {};   // [batch, inputs], the stored output of the layer below
  DeviceRows<float> dx = {};        // [batch, inputs], before the activation of the layer below
  Activation activation = Activation::none;  // of the layer below
  DropoutMask dropout = {};                  // of the layer below; off by default
  float* workspace = nullptr;  // linear_backward_input_workspace() floats, aligned to 16 bytes
};

// Floats that a pass of that size works in on the current device; may be 0. They are zero before
// their first use; all such passes in a stream may share them.
std::size_t linear_backward_input_workspace(int batch, int inputs, int outputs);

// Queues the pass on `stream`, of the current device. Throws Error (device) where CUDA refuses it,
// and where the device has no tensor cores for `precision`.
void linear_backward_input(const LinearBackwardInput& layer, Precision precision,
                           cudaStream_t stream);

}  // namespace lockstep
