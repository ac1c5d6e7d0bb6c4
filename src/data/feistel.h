// The sampler's Feistel network over many values at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lockstep/permutation.h"

namespace lockstep {

// Arrays handed to `apply_feistel` hold a multiple of so many values: it works in whole vectors.
inline constexpr size_t kFeistelStride = 64;

// Permutes the first `count` pairs in place (those after them, up to a whole vector, change too),
// in integer vectors of the machine's widest instruction set; the result is the same on all. Values
// outside the domain are not walked on.
// REQUIRES: both spans equally long, at least `count`, a multiple of kFeistelStride.
void apply_feistel(const PermutationDomain& domain, const PermutationKeys& keys, size_t count,
                   std::span<uint32_t> left, std::span<uint32_t> right);

}  // namespace lockstep
