// The sizes of a convolution as its kernels take them. See device_image.h for how images lie.
#pragma once

#include <cstdint>

#include "kernels/device_image.h"
#include "lockstep/model.h"

namespace lockstep {

// Behind the convolution and its ReLU there may be max pooling of windows side by side: only the
// outputs that it keeps are computed, window by window.
struct ConvShape {
  int channels = 0, height = 0, width = 0;               // of the input
  int outputs = 0, output_height = 0, output_width = 0;  // that are computed
  int kernel_height = 0, kernel_width = 0;
  int stride = 1, padding = 0;
  int pool = 1;         // side of a window; 1: no pooling
  int input_pitch = 0;  // floats between the input's pixels: input_pitch() or padded_channels()

  int kernel() const { return kernel_height * kernel_width; }
  int pooled_height() const { return output_height / pool; }
  int pooled_width() const { return output_width / pool; }
  int pooled_pixels() const { return pooled_height() * pooled_width(); }
  int output_pitch() const { return padded_channels(outputs); }
  // A weight's row as conv_weights() lays it out: [kernel_height, kernel_width, input_pitch], then
  // zeros up to a multiple of four.
  int depth() const { return kernel() * input_pitch; }
  int weight_pitch() const { return padded_channels(depth()); }
};

// Largest window that a convolution's kernel pools itself: its pixels fit the smallest tile, and a
// place in it fits a byte.
inline constexpr int kMostFusedPool = 5;

// `pool`: side of the windows of the max pooling that is fused, or 1.
inline ConvShape conv_shape(const Conv2d& conv, int pool, int pitch) {
  const ImageShape output = conv.output();
  ConvShape shape;
  shape.channels = static_cast<int>(conv.input.channels);
  shape.height = static_cast<int>(conv.input.height);
  shape.width = static_cast<int>(conv.input.width);
  shape.outputs = static_cast<int>(conv.channels);
  shape.output_height = static_cast<int>(output.height) / pool * pool;
  shape.output_width = static_cast<int>(output.width) / pool * pool;
  shape.kernel_height = static_cast<int>(conv.kernel_height);
  shape.kernel_width = static_cast<int>(conv.kernel_width);
  shape.stride = static_cast<int>(conv.stride);
  shape.padding = static_cast<int>(conv.padding);
  shape.pool = pool;
  shape.input_pitch = pitch;
  return shape;
}

}  // namespace lockstep
