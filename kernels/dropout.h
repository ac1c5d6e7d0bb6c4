// Dropout on a device: the CPU's mask (src/backend/dropout.h), a pure function of (seed, layer,
// epoch, sample, unit).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "lockstep/rng.h"

namespace lockstep {

// The dropout layer behind a linear layer's activations. What changes from step to step is in
// device memory.
struct DropoutMask {
  RandomStream stream;                    // but for its epoch
  std::uint32_t threshold = 0;            // a unit is kept when its word is at or above this
  float keep_scale = 1.0F;                // 1 / (1 - p)
  const std::int64_t* samples = nullptr;  // [batch], indices in the data set; null: no dropout
  const std::uint32_t* epoch = nullptr;

  LOCKSTEP_HD bool on() const { return samples != nullptr; }
};

namespace device {

// Units [unit, unit + 4) of row `row`: dropped to zero, or scaled. unit % 4 == 0: the four share a
// draw.
__device__ __forceinline__ void drop(const DropoutMask& mask, int row, int unit,
                                     float (&values)[4]) {
  RandomStream stream = mask.stream;
  stream.epoch = *mask.epoch;
  const Philox4 drawn = stream.draw(static_cast<std::uint64_t>(mask.samples[row]),
                                    static_cast<std::uint32_t>(unit) / 4);
  const std::uint32_t words[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
  for (int i = 0; i < 4; ++i) {
    values[i] = words[i] < mask.threshold ? 0.0F : values[i] * mask.keep_scale;
  }
}

}  // namespace device
}  // namespace lockstep
