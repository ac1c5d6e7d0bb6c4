// What the machine can do at most: the floors that our speeds are judged against.
#pragma once

#include <cstddef>
#include <span>

namespace lockstep::bench {

// Float32 fused multiply-adds in registers, in GFLOP/s (two operations each), summed over
// `threads`; the best of repetitions within about `seconds`.
double fma_peak(int threads, double seconds);

// Reading `buffer` from memory, in GB/s, each of `threads` its own contiguous part; the best of
// repetitions within about `seconds`.
double read_bandwidth(std::span<const float> buffer, int threads, double seconds);

// The instruction set in use: "AVX3", "AVX2", ...
const char* instruction_set();

}  // namespace lockstep::bench
