// The keyed permutation behind the sampler, for the host and, one position at a time, for a GPU.
// Plain values without pointers: they are kernel arguments.
#pragma once

#include <cstdint>

#include "lockstep/host_device.h"
#include "lockstep/rng.h"

namespace lockstep {

namespace feistel {
template <int bits>
LOCKSTEP_HD uint32_t shift_right(uint32_t word) {
  return word >> bits;
}
#include "lockstep/feistel-inl.h"
}  // namespace feistel

// What the network permutes: [0, size), inside the smallest power of two that holds it.
struct PermutationDomain {
  static constexpr int kMaxRounds = 16;
  int64_t size = 1;
  int rounds = kMaxRounds;  // even; small domains need more to look random
  int right_bits = 0;       // of a value; the others are the left half
  uint32_t left_mask = 0;
  uint32_t right_mask = 0;
};

// REQUIRES: size >= 1.
PermutationDomain permutation_domain(int64_t size);

// One epoch's order; a network of r rounds uses the first r words.
struct PermutationKeys {
  uint32_t words[PermutationDomain::kMaxRounds] = {};
};

LOCKSTEP_HD PermutationKeys permutation_keys(uint64_t seed, uint32_t epoch) {
  const RandomStream stream{seed, Purpose::shuffle, 0, epoch};
  PermutationKeys keys;
  for (uint32_t block = 0; block < PermutationDomain::kMaxRounds / 4; ++block) {
    const Philox4 words = stream.draw(0, block);
    keys.words[4 * block] = words.x;
    keys.words[4 * block + 1] = words.y;
    keys.words[4 * block + 2] = words.z;
    keys.words[4 * block + 3] = words.w;
  }
  return keys;
}

// The sample at `position`, both in [0, domain.size). Values outside are walked on until one is
// inside; fewer than half of the values are outside.
LOCKSTEP_HD int64_t permuted(const PermutationDomain& domain, const PermutationKeys& keys,
                             int64_t position) {
  int64_t value = position;
  do {
    auto left = static_cast<uint32_t>(static_cast<uint64_t>(value) >> domain.right_bits);
    auto right = static_cast<uint32_t>(value) & domain.right_mask;
    for (int round = 0; round < domain.rounds; round += 2) {
      feistel::feistel_rounds(keys.words + round, domain.left_mask, domain.right_mask, left, right);
    }
    value = static_cast<int64_t>(static_cast<uint64_t>(left) << domain.right_bits | right);
  } while (value >= domain.size);
  return value;
}

}  // namespace lockstep
