// Kernels that show that kernels run at all, and how fast the clock is.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lockstep {

inline constexpr int kProbeThreads = 64;

// values[i] = 2 i + 1 for i in [0, kProbeThreads), int32 on the device. One block, one store a
// thread: 256 bytes. Throws Error (device) where the launch is refused.
void launch_probe(int32_t* values, cudaStream_t stream);

// Keeps `blocks` threads in as many blocks busy for so many cycles of the multiprocessors' clock;
// throws as above.
void launch_spin(int blocks, int64_t cycles, cudaStream_t stream);

}  // namespace lockstep
