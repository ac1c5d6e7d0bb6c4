// Thrust's algorithms in a stream's order. For .cu files alone.
//
// Not for a training step: an algorithm takes temporary memory and the host waits for what it
// returns, so that it can not be captured.
#pragma once

#include <cuda_runtime.h>

#include <new>

#ifdef LOCKSTEP_EMULATOR
#include "emulator/thrust_seam.h"
#else
#include <thrust/execution_policy.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>
#endif

#include "kernels/check.h"

namespace lockstep {

// Returns algorithm(policy), whose algorithm of Thrust works on memory of the current device after
// what `stream` holds, and has ended on return. Throws CudaError; `what` names it.
#ifdef LOCKSTEP_EMULATOR
template <class Algorithm>
auto run_thrust(const char* what, cudaStream_t stream, const Algorithm& algorithm) {
  return emulator::run_thrust(what, stream, algorithm);
}
#else
template <class Algorithm>
auto run_thrust(const char* what, cudaStream_t stream, const Algorithm& algorithm) {
  try {
    return algorithm(thrust::cuda::par.on(stream));
  } catch (const thrust::system_error& error) {
    throw_cuda_error(static_cast<cudaError_t>(error.code().value()), what, __FILE__, __LINE__);
  } catch (const std::bad_alloc&) {
    throw_cuda_error(cudaErrorMemoryAllocation, what, __FILE__, __LINE__);
  }
}
#endif

}  // namespace lockstep
