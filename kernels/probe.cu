#include "kernels/launch.h"
#include "kernels/probe.h"

namespace lockstep {

__global__ void probe(int32_t* values) {
  values[threadIdx.x] = 2 * static_cast<int32_t>(threadIdx.x) + 1;
}

__global__ void spin(int64_t cycles) {
  const int64_t start = clock64();
  while (clock64() - start < cycles) {
  }
}

void launch_probe(int32_t* values, cudaStream_t stream) {
  launch({.grid = 1, .block = kProbeThreads, .stream = stream}, probe, values);
}

void launch_spin(int blocks, int64_t cycles, cudaStream_t stream) {
  launch({.grid = static_cast<unsigned>(blocks), .block = 1, .stream = stream}, spin, cycles);
}

}  // namespace lockstep
