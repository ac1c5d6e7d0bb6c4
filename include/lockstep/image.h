// The shape of an image, and of what a convolutional layer makes of it.
#pragma once

#include <cstdint>

namespace lockstep {

// Channels, height, width; values lie in that order, plane by plane, row by row.
struct ImageShape {
  int64_t channels = 0, height = 0, width = 0;
  int64_t pixels() const { return height * width; }
  int64_t size() const { return channels * pixels(); }
  bool operator==(const ImageShape&) const = default;
};

}  // namespace lockstep
