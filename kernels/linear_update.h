// The end of a small network's step in one kernel: every layer's weight and bias gradient, their
// update and the state's advance. The gradients are never in memory.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "kernels/device_rows.h"
#include "kernels/optimizer.h"
#include "kernels/step_state.h"
#include "lockstep/backend.h"

namespace lockstep {

// A linear layer [outputs, inputs] behind the chain of input gradients. All pointers are to device
// memory; nobody else may write to the weights.
struct LinearUpdateLayer {
  int inputs = 0;
  int outputs = 0;
  DeviceRows<const float> dy = {};  // [batch, outputs], before this layer's activation
  DeviceRows<const float> x = {};   // [batch, inputs]
  std::size_t weight = 0;           // offsets in the flat buffers
  std::size_t bias = 0;
};

inline constexpr std::size_t kLinearUpdateLayers = 8;

// Whether the layers are so few, and so small on the current device with that batch, that one
// kernel computes them as well as one each would.
bool linear_update_fits(std::span<const LinearUpdateLayer> layers, int batch);

// Queues on `stream`, of the current device, the bits of linear_backward_weight() of each layer,
// update() of all their parameters and advance_step(). `parameters.gradients` is not used. `ticket`
// is 0 before and after. Throws Error (device) where CUDA refuses it, and where the device has no
// tensor cores for `precision`. REQUIRES: linear_update_fits(), batch > 0.
void linear_update(std::span<const LinearUpdateLayer> layers, int batch, Precision precision,
                   UpdateRule rule, const ParameterPointers& parameters, const StepPointers& step,
                   unsigned* ticket, cudaStream_t stream);

}  // namespace lockstep
