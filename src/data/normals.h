// Standard normal numbers from counters: the same bits on every machine and from every compiler.
//
// A draw is the sum S of four 16-bit uniforms (Irwin-Hall), centred: s = (S - 131070) / 65536 in
// [-2, 2). An odd polynomial of degree 9 maps its distribution to the normal one (the method of
// Teichroew's approximation, Knuth, TAOCP 2, 3.4.1): least squares against the exact quantiles,
// scaled to unit variance. Against the normal distribution: distribution function within 1.6e-4,
// kurtosis 2.9999, largest value 5.18. Integer sums, then separate float32 products and sums in a
// fixed order: no libm, no fused operations.
#pragma once

#include <cstdint>

#include "lockstep/rng.h"

namespace lockstep {

// One draw from the two words that hold its four uniforms.
inline float normal_from(uint32_t word0, uint32_t word1) {
  const uint32_t sum = (word0 & 0xFFFFu) + (word0 >> 16) + (word1 & 0xFFFFu) + (word1 >> 16);
  const float s = static_cast<float>(static_cast<int32_t>(sum - 2 * 65535)) * 0x1p-16f;
  const float square = s * s;
  float g = 0.00533783f * square - 0.0169226f;
  g = g * square + 0.02793409f;
  g = g * square + 0.04817034f;
  g = g * square + 1.6668382f;
  return g * s;
}

// Rows [first_row, first_row + rows) of a matrix [.., columns] of draws, row-major: column c of row
// r is the draw from words 2 (c % 2) and 2 (c % 2) + 1 of stream.draw(r, c / 2).
void fill_normals(const RandomStream& stream, uint64_t first_row, int64_t rows, int64_t columns,
                  float* out);

}  // namespace lockstep
