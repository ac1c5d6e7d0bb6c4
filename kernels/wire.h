// Flat arrays on their way to other workers and back.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>

namespace lockstep {

// REQUIRES of all: n a multiple of 4, arrays aligned to four of their elements. Nothing is launched
// for n = 0.

// float32 rounded to bfloat16, to nearest, ties to even; and back.
void pack_bf16(const float* from, __nv_bfloat16* to, std::size_t n, cudaStream_t stream);
void unpack_bf16(const __nv_bfloat16* from, float* to, std::size_t n, cudaStream_t stream);

// values[i] *= factor
void scale_values(float* values, std::size_t n, float factor, cudaStream_t stream);

}  // namespace lockstep
