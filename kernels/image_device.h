// What the kernels of layers on images do to the values of one pixel.
#pragma once

#include "kernels/device_image.h"
#include "kernels/gemm_tile.h"
#include "kernels/image_below.h"

namespace lockstep {

namespace device {

// Whether `value` takes the place of the largest of those before it in a window: the first of equal
// ones stays, a NaN is passed on.
__device__ __forceinline__ bool takes_over(float value, float largest) {
  return value > largest || value != value;
}

// Channels [channel, channel + count) of one pixel, dropped or scaled. Four draws, where a linear
// layer's four units share one: consecutive channels are a plane apart in the order of units.
__device__ __forceinline__ void drop_pixel(const ImageDropout& dropout, int sample, int pixel,
                                           int channel, int count, float (&values)[4]) {
  RandomStream stream = dropout.mask.stream;
  stream.epoch = *dropout.mask.epoch;
  const auto index = static_cast<std::uint64_t>(dropout.mask.samples[sample]);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i >= count) break;
    const auto unit = static_cast<std::uint32_t>((channel + i) * dropout.pixels + pixel);
    values[i] = stream.word(index, unit) < dropout.mask.threshold
                    ? 0.0F
                    : values[i] * dropout.mask.keep_scale;
  }
}

// A gradient of what is below a layer, through its dropout and ReLU: `at` is where both lie. A
// dropped unit is zero too, so that the sign of the stored output tells all after a ReLU.
__device__ __forceinline__ void through_below(const ImageBelow& below, std::int64_t at, int sample,
                                              int pixel, int channel, int count,
                                              float (&values)[4]) {
  const DropoutMask& mask = below.dropout.mask;
  if (below.relu) {
    const float scale = mask.on() ? mask.keep_scale : 1.0F;
    const float4 outputs = load_four(below.output + at, count, count == 4);
    values[0] = outputs.x > 0 ? scale * values[0] : 0;
    values[1] = outputs.y > 0 ? scale * values[1] : 0;
    values[2] = outputs.z > 0 ? scale * values[2] : 0;
    values[3] = outputs.w > 0 ? scale * values[3] : 0;
  } else if (mask.on()) {
    drop_pixel(below.dropout, sample, pixel, channel, count, values);
  }
}

// `count` channels of one pixel to an image in either order.
__device__ __forceinline__ void store_pixel(const DeviceImages<float>& to, std::int64_t sample,
                                            int pixel, int channel, int count,
                                            const float (&values)[4]) {
  float* at = to.at(sample, pixel, channel);
  if (to.channel_stride == 1) return store_four(at, values, count, to.pixel_stride % 4 == 0);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < count) at[std::int64_t{i} * to.channel_stride] = values[i];
  }
}

}  // namespace device
}  // namespace lockstep
