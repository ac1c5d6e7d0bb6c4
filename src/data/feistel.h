// An alternating Feistel network over many values at once: the sampler's permutation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lockstep {

// Arrays handed to `apply` hold a multiple of so many values: it works in whole vectors.
inline constexpr size_t kFeistelStride = 64;

// A permutation of pairs (left, right) of bit_width(left_mask) + bit_width(right_mask) bits.
// Small domains need more rounds to look random: with few bits a half, one round has few choices.
struct FeistelNetwork {
  static constexpr int kMaxRounds = 16;
  std::array<uint32_t, kMaxRounds> keys;  // random; the first `rounds` are used
  int rounds = kMaxRounds;                // even
  uint32_t left_mask = 0;
  uint32_t right_mask = 0;

  // Permutes the first `count` pairs in place (those after them, up to a whole vector, change too),
  // in integer vectors of the machine's widest instruction set; the result is the same on all.
  // REQUIRES: both spans equally long, at least `count`, a multiple of kFeistelStride.
  void apply(size_t count, std::span<uint32_t> left, std::span<uint32_t> right) const;
};

}  // namespace lockstep
