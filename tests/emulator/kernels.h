// The kernels of kernels.cu.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lockstep::test {

// out[i] = i of the thread in the grid.
__global__ void write_index(int* out);
// y[i] += a x[i], i < n.
__global__ void axpy(int n, float a, const float* x, float* y);
// *flag = value, by one thread.
__global__ void set_flag(int* flag, int value);
// to[i] = from[i], i < n.
__global__ void copy_floats(int n, const float* from, float* to);

// Reverses each block's share in shared memory, by way of a barrier.
__global__ void reverse_in_block(float* values);
// out[block] = sum of the block's share of `values`.
__global__ void sum_blocks(const float* values, float* out);
// *out = sum, by the block that ends last; `partial` has a value a block, `ended` begins as 0.
__global__ void sum_by_last_block(const float* values, float* partial, unsigned* ended, float* out);

// Each block of a cluster writes the sum of all blocks' ranks that it reads from their memory.
__global__ void read_cluster(int* out);
// Block 0 of a cluster waits at an mbarrier until every other block has put a value in its memory.
__global__ void gather_by_mbarrier(int* out);
// to = from, by asynchronous copies in two stages. Whole tiles of 4 floats a thread.
__global__ void copy_by_stages(const float* from, float* to, int tiles);

// D[16][8] = A[16][8] B[8][8], by one warp. All by rows.
__global__ void multiply_tf32(const float* a, const float* b, float* d);
// D[16][8] = A[16][16] B[16][8], bfloat16 bits; A and B by way of ldmatrix.
__global__ void multiply_bf16(const std::uint16_t* a, const std::uint16_t* b, float* d);

// Programmatic dependent launch: the first writes late, the second reads with or without waiting.
__global__ void write_late(float* value);
__global__ void read_early(const float* value, float* seen, bool waits);

}  // namespace lockstep::test
