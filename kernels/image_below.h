// What lies around a layer on images.
#pragma once

#include "kernels/dropout.h"

namespace lockstep {

// The dropout layer behind a layer whose output is an image: its units are counted plane by plane,
// wherever they lie.
struct ImageDropout {
  DropoutMask mask;
  int pixels = 0;  // of a plane
};

// What lies below a layer on images, for its input's gradient: the stored output, in the same
// layout, and what made it.
struct ImageBelow {
  const float* output = nullptr;
  bool relu = false;
  ImageDropout dropout;
};

}  // namespace lockstep
