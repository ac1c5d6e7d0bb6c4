// Shapes: x, dx [B, H, W, C], y, dy [B, H', W', C], H' = (H - kernel) / stride + 1.
// Algorithm: a thread takes four channels of a pixel, of the output forward, of the input backward:
// there it visits the windows that the pixel lies in, so that where they overlap nothing is added
// in memory and the order of sums is fixed.
// Floor: 4 B C (H W + H' W') bytes of traffic, plus as many for the index; one stage.
#include "kernels/divisor.h"
#include "kernels/image_device.h"
#include "kernels/launch.h"
#include "kernels/pool.h"

namespace lockstep {

using namespace device;

constexpr unsigned kPoolThreads = 128;

struct PoolSizes {
  int channels, height, width, output_height, output_width, kernel, stride;
  bool largest;
};

struct PixelFour {
  int sample, pixel, channel, count;
};

// Four channels of a thread's pixel; count 0: nothing to do.
__device__ __forceinline__ PixelFour four_of_thread(int channels, Divisor by_fours,
                                                    Divisor by_pixels, int total) {
  const int i = static_cast<int>(blockIdx.x * kPoolThreads + threadIdx.x);
  if (i >= total) return {};
  const int number = by_fours.quotient(i);
  const int channel = 4 * by_fours.remainder(i, number);
  const int sample = by_pixels.quotient(number);
  return {sample, by_pixels.remainder(number, sample), channel, min(channels - channel, 4)};
}

__global__ void __launch_bounds__(kPoolThreads)
    pool_forward_kernel(PoolSizes sizes, DeviceImages<const float> x, DeviceImages<float> y,
                        std::int32_t* index, ImageDropout dropout, Divisor by_fours,
                        Divisor by_pixels, int total) {
  const PixelFour at = four_of_thread(sizes.channels, by_fours, by_pixels, total);
  if (at.count == 0) return;
  const int top = at.pixel / sizes.output_width * sizes.stride;
  const int left = at.pixel % sizes.output_width * sizes.stride;
  const bool aligned = x.pixel_stride % 4 == 0;
  float values[4] = {};
  std::int32_t places[4] = {};
  for (int u = 0; u < sizes.kernel; ++u) {
    for (int v = 0; v < sizes.kernel; ++v) {
      const int pixel = (top + u) * sizes.width + left + v;
      const float4 loaded = load_four(x.at(at.sample, pixel, at.channel), at.count, aligned);
      const float four[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
      const int place = u * sizes.kernel + v;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (!sizes.largest) {
          values[e] += four[e];
        } else if (place == 0 || takes_over(four[e], values[e])) {
          values[e] = four[e];
          places[e] = place;
        }
      }
    }
  }
  if (!sizes.largest) {
    const auto area = static_cast<float>(sizes.kernel * sizes.kernel);
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] /= area;
  }
  if (index) {
    const std::int64_t window = std::int64_t{at.sample} * dropout.pixels + at.pixel;
    std::int32_t* to = index + window * padded_channels(sizes.channels) + at.channel;
    for (int e = 0; e < at.count; ++e) to[e] = places[e];
  }
  if (dropout.mask.on()) {
    drop_pixel(dropout, at.sample, at.pixel, at.channel, at.count, values);
  }
  store_pixel(y, at.sample, at.pixel, at.channel, at.count, values);
}

// The first and the last window that row (or column) `at` of the input lies in.
struct Windows {
  int first, last;
};
__device__ __forceinline__ Windows windows_of(const PoolSizes& sizes, int at, int count) {
  const int first = at < sizes.kernel ? 0 : (at - sizes.kernel) / sizes.stride + 1;
  return {first, min(at / sizes.stride, count - 1)};
}

__global__ void __launch_bounds__(kPoolThreads)
    pool_backward_kernel(PoolSizes sizes, DeviceImages<const float> dy, const std::int32_t* index,
                         ImageBelow below, DeviceImages<float> dx, Divisor by_fours,
                         Divisor by_pixels, int total) {
  const PixelFour at = four_of_thread(sizes.channels, by_fours, by_pixels, total);
  if (at.count == 0) return;
  const int y = at.pixel / sizes.width;
  const int x = at.pixel % sizes.width;
  const Windows rows = windows_of(sizes, y, sizes.output_height);
  const Windows columns = windows_of(sizes, x, sizes.output_width);
  const int pixels = sizes.output_height * sizes.output_width;
  const auto area = static_cast<float>(sizes.kernel * sizes.kernel);
  float values[4] = {};
  for (int i = rows.first; i <= rows.last; ++i) {
    for (int j = columns.first; j <= columns.last; ++j) {
      const int window = i * sizes.output_width + j;
      const float4 loaded = *reinterpret_cast<const float4*>(dy.at(at.sample, window, at.channel));
      const float four[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
      const int place = (y - i * sizes.stride) * sizes.kernel + x - j * sizes.stride;
      const std::int64_t number = std::int64_t{at.sample} * pixels + window;
      for (int e = 0; e < at.count; ++e) {
        if (!sizes.largest) {
          values[e] += four[e] / area;
        } else if (index[number * padded_channels(sizes.channels) + at.channel + e] == place) {
          values[e] += four[e];
        }
      }
    }
  }
  float* const to = dx.at(at.sample, at.pixel, at.channel);
  through_below(below, to - dx.data, at.sample, at.pixel, at.channel, at.count, values);
  store_four(to, values, at.count, dx.pixel_stride % 4 == 0);
}

static PoolSizes sizes_of(const Pool2d& pool) {
  const ImageShape output = pool.output();
  return {static_cast<int>(pool.input.channels), static_cast<int>(pool.input.height),
          static_cast<int>(pool.input.width),    static_cast<int>(output.height),
          static_cast<int>(output.width),        static_cast<int>(pool.kernel),
          static_cast<int>(pool.stride),         pool.kind == PoolKind::max};
}

// Threads for four channels each of every pixel. Throws Error (device) where they are not counted.
static int threads_for(int batch, const ImageShape& image) {
  const std::int64_t total = batch * image.pixels() * (padded_channels(image.channels) / 4);
  if (total <= INT32_MAX) return static_cast<int>(total);
  throw Error(ErrorKind::device, "a pooling: too many images in a batch",
              "use a smaller batch, or --accumulate");
}

static Launch launch_of(int total, cudaStream_t stream) {
  return {.grid = (static_cast<unsigned>(total) + kPoolThreads - 1) / kPoolThreads,
          .block = kPoolThreads,
          .stream = stream};
}

void pool_forward(const PoolForward& layer, cudaStream_t stream) {
  if (layer.batch == 0) return;
  const ImageShape output = layer.pool.output();
  const int total = threads_for(layer.batch, output);
  launch(launch_of(total, stream), pool_forward_kernel, sizes_of(layer.pool), layer.x, layer.y,
         layer.index, ImageDropout{layer.dropout, static_cast<int>(output.pixels())},
         Divisor(padded_channels(output.channels) / 4), Divisor(output.pixels()), total);
}

void pool_backward(const PoolBackward& layer, cudaStream_t stream) {
  if (layer.batch == 0) return;
  const ImageShape& input = layer.pool.input;
  const int total = threads_for(layer.batch, input);
  launch(launch_of(total, stream), pool_backward_kernel, sizes_of(layer.pool), layer.dy,
         layer.index, layer.below, layer.dx, Divisor(padded_channels(input.channels) / 4),
         Divisor(input.pixels()), total);
}

}  // namespace lockstep
