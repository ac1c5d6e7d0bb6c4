// Shapes: weight [outputs, channels, taps] to [outputs, pitch], pitch = taps * input_pitch rounded
// up to four.
// Algorithm: a thread a value of the result; blockIdx.y is the layer.
// Floor: 8 bytes a weight, in fact all in L2: 19,392 of a CIFAR-10 network's convolutions are one
// stage of a launch.
#include <algorithm>
#include <array>

#include "kernels/conv_weights.h"
#include "kernels/divisor.h"
#include "kernels/launch.h"

namespace lockstep {

constexpr unsigned kConvWeightThreads = 128;
constexpr std::size_t kConvWeightLayers = 16;

struct ConvWeightCopy {
  const float* weight;
  float* to;
  int channels, taps, count;  // count: of the result
  Divisor by_row, by_pitch;
};
struct ConvWeightCopies {
  ConvWeightCopy layers[kConvWeightLayers];
};

__global__ void __launch_bounds__(kConvWeightThreads) conv_weights_kernel(ConvWeightCopies all) {
  const ConvWeightCopy& layer = all.layers[blockIdx.y];
  const int i = static_cast<int>(blockIdx.x * kConvWeightThreads + threadIdx.x);
  if (i >= layer.count) return;
  const int output = layer.by_row.quotient(i);
  const int in_row = layer.by_row.remainder(i, output);
  const int tap = layer.by_pitch.quotient(in_row);
  const int channel = layer.by_pitch.remainder(in_row, tap);
  const bool present = tap < layer.taps && channel < layer.channels;
  layer.to[i] =
      present ? layer.weight[(output * layer.channels + channel) * layer.taps + tap] : 0.0F;
}

void conv_weights(std::span<const ConvWeights> layers, cudaStream_t stream) {
  while (!layers.empty()) {
    const std::size_t count = std::min(layers.size(), kConvWeightLayers);
    ConvWeightCopies copies{};
    int most = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const ConvShape& shape = layers[i].shape;
      const int size = shape.outputs * shape.weight_pitch();
      copies.layers[i] = {layers[i].weight,
                          layers[i].to,
                          shape.channels,
                          shape.kernel(),
                          size,
                          Divisor(shape.weight_pitch()),
                          Divisor(shape.input_pitch)};
      most = std::max(most, size);
    }
    const unsigned blocks =
        (static_cast<unsigned>(most) + kConvWeightThreads - 1) / kConvWeightThreads;
    launch({.grid = dim3(blocks, static_cast<unsigned>(count)),
            .block = kConvWeightThreads,
            .stream = stream},
           conv_weights_kernel, copies);
    layers = layers.subspan(count);
  }
}

}  // namespace lockstep
