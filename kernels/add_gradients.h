// The sum of two gradients.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace lockstep {

// to[i] += from[i] for i < n, float32. REQUIRES: n a multiple of 4, both aligned to 16 bytes.
// Nothing is launched for n = 0.
void add_gradients(float* to, const float* from, std::size_t n, cudaStream_t stream);

}  // namespace lockstep
