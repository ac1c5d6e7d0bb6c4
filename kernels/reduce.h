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

}  // namespace lockstep::device
