// The gradients of a linear layer's weight and bias, of all its units or of a range of them.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/device_rows.h"
#include "lockstep/backend.h"

namespace lockstep {

// All pointers are to device memory and to the whole layer's values, whatever the range. No output
// may overlap an input.
struct LinearBackwardWeight {
  int batch = 0;  // may be 0: the gradients are then zero
  int inputs = 0;
  int outputs = 0;
  int first_unit = 0;               // units [first_unit, first_unit + units) are computed
  int units = 0;                    // may be 0: nothing is launched
  DeviceRows<const float> dy = {};  // [batch, outputs], before this layer's activation
  DeviceRows<const float> x = {};   // [batch, inputs]
  float* dweight = nullptr;         // [outputs, inputs], without padding between rows
  float* dbias = nullptr;           // [outputs]
  float* workspace = nullptr;  // linear_backward_weight_workspace() floats, aligned to 16 bytes
};

// Floats that a pass over any range of such a layer works in on the current device; may be 0. They
// are zero before their first use; all such passes in a stream may share them.
std::size_t linear_backward_weight_workspace(int batch, int inputs, int outputs);

// Queues the pass on `stream`, of the current device: sums over the samples, not means, in an order
// fixed by the layer's sizes, the precision and the number of multiprocessors: a unit's gradient
// has the same bits whatever range it is computed in. Throws Error (device) where CUDA
// refuses it, and where the device has no tensor cores for `precision`.
void linear_backward_weight(const LinearBackwardWeight& layer, Precision precision,
                            cudaStream_t stream);

}  // namespace lockstep
