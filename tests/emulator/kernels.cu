// A kernel for each part of kernels/*.h: the emulator's tests run them, and nvcc compiles them.
#include <cuda_bf16.h>

#include "kernels.h"
#include "kernels/device.h"
#include "kernels/reduce.h"

namespace lockstep::test {

using namespace device;

__global__ void write_index(int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = static_cast<int>(i);
}

__global__ void axpy(int n, float a, const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] += a * x[i];
}

__global__ void set_flag(int* flag, int value) {
  if (threadIdx.x == 0 && blockIdx.x == 0) *flag = value;
}

__global__ void copy_floats(int n, const float* from, float* to) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) to[i] = from[i];
}

__global__ void reverse_in_block(float* values) {
  auto* tile = shared<float>(0, blockDim.x);
  float* share = values + blockIdx.x * blockDim.x;
  tile[threadIdx.x] = share[threadIdx.x];
  __syncthreads();
  share[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

// Every thread of the block gets the sum. `scratch` is 32 values in shared memory, free again
// afterwards.
__device__ float block_sum(float value, float* scratch) {
  const unsigned lane = threadIdx.x % kWarpSize;
  value = warp_sum(value);
  if (lane == 0) scratch[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  value = warp_sum(lane < blockDim.x / kWarpSize ? scratch[lane] : 0.0F);
  __syncthreads();
  return value;
}

__global__ void sum_blocks(const float* values, float* out) {
  const float value = values[blockIdx.x * blockDim.x + threadIdx.x];
  const float sum = block_sum(value, shared<float>(0, 32));
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

__global__ void sum_by_last_block(const float* values, float* partial, unsigned* ended,
                                  float* out) {
  auto* last = shared<int>(32 * sizeof(float));
  const float sum = block_sum(values[blockIdx.x * blockDim.x + threadIdx.x], shared<float>(0, 32));
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    *last = atomicAdd(ended, 1U) == gridDim.x - 1;
  }
  __syncthreads();
  if (!*last || threadIdx.x != 0) return;
  __threadfence();
  float total = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) total += partial[block];
  *out = total;
}

__global__ void read_cluster(int* out) {
  auto* mine = shared<int>(0);
  if (threadIdx.x == 0) *mine = static_cast<int>(cluster_rank()) + 1;
  cluster_sync();
  if (threadIdx.x == 0) {
    int sum = 0;
    for (unsigned rank = 0; rank < cluster_size(); ++rank) sum += *of_block(mine, rank);
    out[blockIdx.x] = sum;
  }
  cluster_sync();
}

__global__ void gather_by_mbarrier(int* out) {
  auto* arrivals = shared<Mbarrier>(0);
  auto* values = shared<int>(16, 16);
  if (threadIdx.x == 0) {
    init_mbarrier(arrivals, cluster_size());
    fence_mbarriers();
  }
  cluster_sync();
  if (threadIdx.x == 0) {
    of_block(values, 0)[cluster_rank()] = static_cast<int>(cluster_rank()) + 1;
    arrive_at(arrivals, 0);
  }
  if (cluster_rank() == 0) {
    wait(arrivals, 0);
    int sum = 0;
    for (unsigned rank = 0; rank < cluster_size(); ++rank) sum += values[rank];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
  }
  cluster_sync();
}

__global__ void copy_by_stages(const float* from, float* to, int tiles) {
  const unsigned floats = 4 * blockDim.x;  // of a tile
  auto* stages = shared<float>(0, 2 * floats);
  const auto fetch = [&](int tile) {
    if (tile < tiles) {
      copy_async_16(stages + tile % 2 * floats + 4 * threadIdx.x,
                    from + tile * floats + 4 * threadIdx.x);
    }
    commit_copies();
  };
  fetch(0);
  for (int tile = 0; tile < tiles; ++tile) {
    fetch(tile + 1);
    wait_copies<1>();
    __syncthreads();
    // What a neighbour copied, so that the barrier matters.
    const unsigned other = (threadIdx.x + 1) % blockDim.x;
    for (unsigned i = 0; i < 4; ++i) {
      to[tile * floats + 4 * other + i] = stages[tile % 2 * floats + 4 * other + i];
    }
    __syncthreads();
  }
}

__device__ void write_result(const float (&d)[4], float* to) {
  const unsigned g = threadIdx.x / 4;
  const unsigned t = threadIdx.x % 4;
  for (unsigned i = 0; i < 4; ++i) to[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

__global__ void multiply_tf32(const float* a, const float* b, float* d) {
  const unsigned g = threadIdx.x / 4;
  const unsigned t = threadIdx.x % 4;
  std::uint32_t fragment_a[4];
  std::uint32_t fragment_b[2];
  for (unsigned i = 0; i < 4; ++i) {
    fragment_a[i] = to_tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  }
  for (unsigned i = 0; i < 2; ++i) fragment_b[i] = to_tf32(b[(t + i * 4) * 8 + g]);
  const float zero[4] = {};
  float result[4];
  mma_tf32(result, fragment_a, fragment_b, zero);
  write_result(result, d);
}

__global__ void multiply_bf16(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  auto* tile_a = shared<std::uint16_t>(0, 16 * 16);
  auto* tile_b = shared<std::uint16_t>(16 * 16 * sizeof(std::uint16_t), 16 * 8);
  for (unsigned i = threadIdx.x; i < 16 * 16; i += kWarpSize) tile_a[i] = a[i];
  for (unsigned i = threadIdx.x; i < 16 * 8; i += kWarpSize) tile_b[i] = b[i];
  __syncwarp();
  const unsigned lane = threadIdx.x;
  std::uint32_t fragment_a[4];
  std::uint32_t fragment_b[2];
  load_matrices(fragment_a, tile_a + lane % 16 * 16 + lane / 16 * 8);
  load_matrices_transposed(fragment_b, tile_b + lane % 16 * 8);
  const float zero[4] = {};
  float result[4];
  mma_bf16(result, fragment_a, fragment_b, zero);
  write_result(result, d);
}

__global__ void write_late(float* value) {
  launch_next_kernel();
  const long long begin = clock64();
  while (clock64() - begin < 1'000'000) __nanosleep(1000);
  if (threadIdx.x == 0) *value = 1.0F;
}

__global__ void read_early(const float* value, float* seen, bool waits) {
  if (waits) wait_for_previous_kernel();
  if (threadIdx.x == 0) *seen = *value;
}

}  // namespace lockstep::test
