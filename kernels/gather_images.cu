// Shapes: features [N, C H W] uint8 or float32, images [B, H W, pitch] or [B, C, H W] float32.
// Algorithm: a block takes an image, a thread a pixel of all channels in turn: a warp reads
// consecutive pixels of a plane (in reverse where the image is mirrored) and writes consecutive
// memory in either order. Every thread walks the permutation and draws the move for itself: the
// block does so in the same instructions, and nothing has to be handed round.
// Floor: B C H W (bytes of T + 4) bytes of traffic; one stage, in which the walk (about 0.2 us a
// pass) comes before the first load.
#include "kernels/gather_images.h"
#include "kernels/launch.h"
#include "kernels/row_device.h"

namespace lockstep {

using namespace device;

constexpr unsigned kGatherImageThreads = 256;

struct Moves {
  Augmentation augmentation;
  bool present = false;
};

// Where a feature beyond the edge is the data's zero, which is the offset after normalisation.
__device__ __forceinline__ float zero_of(const FeatureScale& scale, std::int64_t column) {
  return scaled(scale, 0.0F, column);
}

template <class T>
__global__ void __launch_bounds__(kGatherImageThreads)
    gather_images_kernel(ResidentData data, FeatureScale scale, BatchRows batch,
                         const StepState* state, Moves moves, ImageGatherOutputs to) {
  const std::int64_t i = blockIdx.x;
  const std::int64_t row = sample_of(batch, state, i);
  const std::int64_t sample = data.samples ? data.samples[row] : row;
  if (threadIdx.x == 0) {
    if (to.labels) to.labels[i] = data.labels[row];
    if (to.samples) to.samples[i] = sample;
  }
  const ImageMove move =
      moves.present ? moves.augmentation.move(state->epoch, static_cast<std::uint64_t>(sample))
                    : ImageMove{};
  const auto pixels = static_cast<int>(to.shape.height * to.shape.width);
  const auto channels = static_cast<int>(to.shape.channels);
  const T* const from = static_cast<const T*>(data.features) + row * data.columns;
  for (int pixel = static_cast<int>(threadIdx.x); pixel < pixels;
       pixel += static_cast<int>(kGatherImageThreads)) {
    // The same place in each plane.
    const int source = moves.present ? moves.augmentation.source(move, pixel) : pixel;
    for (int channel = 0; channel < channels; ++channel) {
      const int column = channel * pixels + source;
      *to.images.at(i, pixel, channel) =
          source < 0 ? zero_of(scale, channel * pixels + pixel)
                     : scaled(scale, static_cast<float>(from[column]), column);
    }
  }
}

void gather_images(const ResidentData& data, const FeatureScale& scale, const BatchRows& batch,
                   const Augmentation* augmentation, const StepState* state,
                   const ImageGatherOutputs& to, cudaStream_t stream) {
  check_features(data);
  if (batch.rows == 0) return;
  Moves moves;
  if (augmentation && state) moves = {*augmentation, true};
  const auto kernel = data.type == FeatureType::uint8 ? gather_images_kernel<std::uint8_t>
                                                      : gather_images_kernel<float>;
  launch(
      {.grid = static_cast<unsigned>(batch.rows), .block = kGatherImageThreads, .stream = stream},
      kernel, data, scale, batch, state, moves, to);
}

}  // namespace lockstep
