// Reductions over a warp and a block, in a fixed order: the same bits run after run.
#pragma once

#include "kernels/device.h"

namespace lockstep::device {

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// Every lane of a whole warp gets the result.
template <class Operation, class T>
__device__ __forceinline__ T warp_reduce(T value, Operation operation) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value = operation(value, __shfl_xor_sync(kWholeWarp, value, distance));
  }
  return value;
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  return warp_reduce(value, Add{});
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
  return warp_reduce(value, Max{});
}

// Every thread of the block gets the result. All call it; the block is whole warps along x;
// `scratch` is 32 values in shared memory, free again afterwards. `identity` changes no value.
template <class Operation, class T>
__device__ __forceinline__ T block_reduce(T value, T* scratch, T identity, Operation operation) {
  const unsigned lane = threadIdx.x % kWarpSize;
  value = warp_reduce(value, operation);
  if (lane == 0) scratch[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  value = lane < blockDim.x / kWarpSize ? scratch[lane] : identity;
  value = warp_reduce(value, operation);
  __syncthreads();
  return value;
}

template <class T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
  return block_reduce(value, scratch, T{}, Add{});
}

}  // namespace lockstep::device
