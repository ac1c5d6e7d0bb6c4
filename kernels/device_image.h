// A batch of images in device memory.
//
// Activations of convolutional layers lie pixel by pixel, a pixel's channels next to each other
// (NHWC), in a pitch of a multiple of four: 16 bytes are then four channels of one pixel, whole
// inside the image or whole beyond its edge, so that every gather of a convolution loads and stores
// vectors, and the product's depth runs through consecutive memory. Plane by plane (NCHW), as data
// sets and checkpoints have it, neighbours of a row of pixels are consecutive instead: with kernels
// of odd width two of three vectors would straddle 16 bytes, and every row's end would cut one.
// The order changes twice, each time in a pass that there is anyway: the gather of a batch writes
// pixels' channels together, and the last layer that sees an image writes its output plane by
// plane, in the order in which a flattened image's features are counted (and PyTorch's weights of
// the linear layer behind it). Channels that fill the pitch are zero: cleared once, never written.
//
// A network's own images of fewer than four channels lie without padding: a third more depth in a
// convolution of three channels would cost more than its loads by single floats.
#pragma once

#include <cstdint>

#include "lockstep/host_device.h"
#include "lockstep/image.h"

namespace lockstep {

LOCKSTEP_HD constexpr int padded_channels(std::int64_t channels) {
  return static_cast<int>((channels + 3) / 4 * 4);
}
// Floats between the pixels of a network's input.
constexpr int input_pitch(std::int64_t channels) {
  return channels < 4 ? static_cast<int>(channels) : padded_channels(channels);
}

template <class T>
struct DeviceImages {
  T* data = nullptr;
  std::int64_t sample_stride = 0;
  int pixel_stride = 0;
  int channel_stride = 1;

  LOCKSTEP_HD T* at(std::int64_t sample, int pixel, int channel) const {
    return data + sample * sample_stride + std::int64_t{pixel} * pixel_stride +
           std::int64_t{channel} * channel_stride;
  }
};

// Pixel by pixel, without gaps between samples.
template <class T>
DeviceImages<T> by_pixels(T* data, const ImageShape& shape, int pitch) {
  return {data, shape.pixels() * pitch, pitch, 1};
}
template <class T>
DeviceImages<T> by_pixels(T* data, const ImageShape& shape) {
  return by_pixels(data, shape, padded_channels(shape.channels));
}
// Plane by plane, rows of features `stride` floats apart.
template <class T>
DeviceImages<T> by_planes(T* data, const ImageShape& shape, std::int64_t stride) {
  return {data, stride, 1, static_cast<int>(shape.pixels())};
}

}  // namespace lockstep
