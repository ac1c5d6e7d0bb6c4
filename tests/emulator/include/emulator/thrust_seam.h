// kernels/thrust_stream.h on the emulator. Included by it alone. Thrust's C++ back end runs where
// it is called, so it is called by a kernel of one thread: in the stream's order, on memory that is
// the device's, and seen by sanitizers.
#pragma once

#include <thrust/execution_policy.h>
#include <thrust/system/cpp/execution_policy.h>

#include <functional>
#include <optional>
#include <utility>

#include "kernels/launch.h"

namespace lockstep::emulator {

inline __global__ void thrust_algorithm(const std::function<void()>* algorithm) {
  (*algorithm)();
}

template <class Algorithm>
auto run_thrust(const char* what, cudaStream_t stream, const Algorithm& algorithm) {
  std::optional<decltype(algorithm(thrust::cpp::par))> result;
  const std::function<void()> run = [&] { result.emplace(algorithm(thrust::cpp::par)); };
  lockstep::launch({.grid = 1, .block = 1, .stream = stream}, thrust_algorithm, &run);
  check(cudaStreamSynchronize(stream), what);
  return std::move(*result);
}

}  // namespace lockstep::emulator
