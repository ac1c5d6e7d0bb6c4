// Weights of convolutions as their products take them.
#pragma once

#include <cuda_runtime.h>

#include <span>

#include "kernels/conv_shape.h"

namespace lockstep {

struct ConvWeights {
  ConvShape shape;
  const float* weight = nullptr;  // [outputs, channels, kernel_height, kernel_width]
  // [outputs, shape.weight_pitch()], aligned to 16 bytes: [kernel_height, kernel_width,
  // shape.input_pitch] of each output, padding zero.
  float* to = nullptr;
};

// Queues the copies on `stream`, all in one kernel where there are no more than sixteen. In memory
// weights stay as checkpoints have them, for the optimizer, the exchange and every other reader;
// they are few beside the pixels that read them.
void conv_weights(std::span<const ConvWeights> layers, cudaStream_t stream);

}  // namespace lockstep
