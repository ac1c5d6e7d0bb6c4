// Elementwise loops over flat float arrays, in the widest vectors the machine has. Shared by the
// optimizers' callers, the communicators and local SGD.
//
// Every result is a pure function of its element's operands, so cutting a range elsewhere changes
// no bits. Thread-safe where the destinations differ. All spans of a call have the same size, any
// size, and may not overlap unless they are equal.
#pragma once

#include <cstdint>
#include <span>

namespace lockstep {

// dst += src
void add(std::span<float> dst, std::span<const float> src);

// dst = ((s0 + s1) + s2) + ...: the left fold in the order of `sources`, each of dst.size() floats.
// `dst` may be one of the sources. Without sources dst becomes zero.
void sum_in_order(std::span<float> dst, std::span<const float* const> sources);

// dst *= factor
void scale(std::span<float> dst, float factor);

// dst = factor * src + dst, one fused multiply-add
void axpy(std::span<float> dst, float factor, std::span<const float> src);

// dst = ((w0 s0) + w1 s1) + ...: fused multiply-adds after the first product, in order. `dst` may
// be one of the sources.
void weighted_sum(std::span<float> dst, std::span<const float* const> sources,
                  std::span<const float> weights);

}  // namespace lockstep
