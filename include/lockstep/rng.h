// Counter-based random numbers: every draw is a pure function of its key, so dropout, sample order,
// initial weights and synthetic data are equal in every mode, at every world size, on every device.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
// Philox4x32-10. No state, no locks: safe to call from any thread.
#pragma once

#include <cstdint>

#include "lockstep/host_device.h"

namespace lockstep {

// What a draw is for. Part of the key, so that two purposes never share a stream.
enum class Purpose : uint8_t {
  init_weights = 1,
  shuffle = 2,
  dropout = 3,
  augment = 4,
  synthetic_features = 5,
  synthetic_rule = 6,
  test_split = 7,
};

struct Philox4 {
  uint32_t x, y, z, w;
};

// Philox4x32 with ten rounds.
LOCKSTEP_HD Philox4 philox4x32(Philox4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.x;
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.z;
    counter = {
        static_cast<uint32_t>(product1 >> 32) ^ counter.y ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ counter.w ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The stream of one (seed, purpose, layer, epoch). `layer` < 256, `sample` < 2^48.
struct RandomStream {
  uint64_t seed = 0;
  Purpose purpose = Purpose::init_weights;
  uint8_t layer = 0;
  uint32_t epoch = 0;

  // Four words for (sample, block); unit u of a sample lives in block u / 4, word u % 4.
  LOCKSTEP_HD Philox4 draw(uint64_t sample, uint32_t block) const {
    const uint32_t tag = (static_cast<uint32_t>(purpose) << 24) |
                         (static_cast<uint32_t>(layer) << 16) |
                         static_cast<uint32_t>((sample >> 32) & 0xFFFFu);
    return philox4x32({block, static_cast<uint32_t>(sample), epoch, tag},
                      static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  }

  LOCKSTEP_HD uint32_t word(uint64_t sample, uint32_t unit) const {
    const Philox4 block = draw(sample, unit / 4);
    switch (unit % 4) {
      case 0: return block.x;
      case 1: return block.y;
      case 2: return block.z;
      default: return block.w;
    }
  }
};

// The top 24 bits as a float in [0, 1): exact, no rounding, the same on every device.
LOCKSTEP_HD float unit_float(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

// Dropout keeps a unit when its word is at or above this threshold: P(drop) = p to within 2^-32.
LOCKSTEP_HD uint32_t dropout_threshold(double p) {
  return static_cast<uint32_t>(p * 4294967296.0);
}

}  // namespace lockstep
