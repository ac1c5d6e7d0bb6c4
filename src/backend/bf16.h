// bfloat16: the upper half of a float32. Its values are exact in float32, and so is the product of
// two of them.
#pragma once

#include <bit>
#include <cstdint>

namespace lockstep {

struct Bf16 {
  uint16_t bits = 0;
};

inline float to_float(Bf16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// The nearest, ties to even; a NaN stays one.
inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (value != value) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

// Values that are readable beyond the last of FeatureType::bfloat16, so that vectors of them are
// read whole.
inline constexpr int64_t kBf16Slack = 32;

}  // namespace lockstep
