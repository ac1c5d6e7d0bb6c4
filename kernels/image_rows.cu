// Shapes: rows [B, C H W], images [B, H W, pitch].
// Algorithm: a block takes 32 pixels by 32 channels of a sample through shared memory, so that both
// sides move 128 consecutive bytes a warp; of dropout a thread takes a value.
// Floor: 8 B C H W bytes of traffic; one stage.
#include "kernels/device.h"
#include "kernels/image_device.h"
#include "kernels/image_rows.h"
#include "kernels/launch.h"

namespace lockstep {

using namespace device;

constexpr int kImageTile = 32, kImageTileRows = 8;
constexpr unsigned kImageThreads = 128;

__global__ void __launch_bounds__(kImageTile* kImageTileRows)
    images_from_rows_kernel(DeviceRows<const float> rows, int channels, int pixels, int pixel_tiles,
                            int pitch, float* to) {
  constexpr int kPitch = kImageTile + 1;  // a column's values come from different banks
  auto* tile = shared<float>(0, kImageTile * kPitch);
  const std::int64_t sample = blockIdx.x / static_cast<unsigned>(pixel_tiles);
  const int first_pixel =
      static_cast<int>(blockIdx.x % static_cast<unsigned>(pixel_tiles)) * kImageTile;
  const int first_channel = static_cast<int>(blockIdx.y) * kImageTile;
  const int x = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int k = static_cast<int>(threadIdx.y); k < kImageTile; k += kImageTileRows) {
    const int channel = first_channel + k;
    const int pixel = first_pixel + x;
    if (channel >= channels || pixel >= pixels) continue;
    tile[k * kPitch + x] = rows.data[sample * rows.stride + std::int64_t{channel} * pixels + pixel];
  }
  __syncthreads();
#pragma unroll
  for (int k = static_cast<int>(threadIdx.y); k < kImageTile; k += kImageTileRows) {
    const int channel = first_channel + x;
    const int pixel = first_pixel + k;
    if (channel >= channels || pixel >= pixels) continue;
    to[(sample * pixels + pixel) * pitch + channel] = tile[x * kPitch + k];
  }
}

void images_from_rows(DeviceRows<const float> rows, int batch, const ImageShape& shape, float* to,
                      cudaStream_t stream) {
  if (batch == 0) return;
  const auto channels = static_cast<int>(shape.channels);
  const auto pixels = static_cast<int>(shape.pixels());
  const int pixel_tiles = (pixels + kImageTile - 1) / kImageTile;
  const int channel_tiles = (channels + kImageTile - 1) / kImageTile;
  launch(
      {.grid =
           dim3(static_cast<unsigned>(batch * pixel_tiles), static_cast<unsigned>(channel_tiles)),
       .block = dim3(kImageTile, kImageTileRows),
       .stream = stream,
       .shared_bytes = sizeof(float) * kImageTile * (kImageTile + 1)},
      images_from_rows_kernel, rows, channels, pixels, pixel_tiles, padded_channels(channels), to);
}

__global__ void __launch_bounds__(kImageThreads)
    dropout_images_kernel(ImageDropout dropout, DeviceImages<float> images, int channels) {
  const int sample = static_cast<int>(blockIdx.x);
  const int size = channels * dropout.pixels;
  const auto i = static_cast<int>(blockIdx.y * kImageThreads + threadIdx.x);
  if (i >= size) return;
  const int pixel = i / channels;
  const int channel = i % channels;
  float* const at = images.at(sample, pixel, channel);
  float values[4] = {*at};
  drop_pixel(dropout, sample, pixel, channel, 1, values);
  *at = values[0];
}

void dropout_images(const DropoutMask& mask, const DeviceImages<float>& images, int batch,
                    const ImageShape& shape, cudaStream_t stream) {
  if (!mask.on() || batch == 0) return;
  const auto size = static_cast<unsigned>(shape.size());
  launch({.grid = dim3(static_cast<unsigned>(batch), (size + kImageThreads - 1) / kImageThreads),
          .block = kImageThreads,
          .stream = stream},
         dropout_images_kernel, ImageDropout{mask, static_cast<int>(shape.pixels())}, images,
         static_cast<int>(shape.channels));
}

}  // namespace lockstep
