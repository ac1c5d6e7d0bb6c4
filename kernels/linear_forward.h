// y = dropout(activation(x w^T + b)), one linear layer's forward pass.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/device_rows.h"
#include "kernels/dropout.h"
#include "lockstep/backend.h"
#include "lockstep/model.h"

namespace lockstep {

// All pointers are to device memory. No output may overlap an input.
struct LinearForward {
  int batch = 0;  // may be 0: nothing is launched
  int inputs = 0;
  int outputs = 0;
  DeviceRows<const float> x = {};  // [batch, inputs]
  const float* weight = nullptr;   // [outputs, inputs], without padding between rows
  const float* bias = nullptr;     // [outputs]
  DeviceRows<float> y = {};        // [batch, outputs]
  Activation activation = Activation::none;
  DropoutMask dropout = {};    // of the layer behind this one; off by default
  float* workspace = nullptr;  // linear_forward_workspace() floats, aligned to 16 bytes
};

// Floats that a forward pass of that size works in on the current device; may be 0. They
// are zero before their first use; all such passes in a stream may share them.
std::size_t linear_forward_workspace(int batch, int inputs, int outputs);

// Queues the pass on `stream`, of the current device. Throws Error (device) where CUDA refuses it,
// and where the device has no tensor cores for `precision`.
void linear_forward(const LinearForward& layer, Precision precision, cudaStream_t stream);

}  // namespace lockstep
