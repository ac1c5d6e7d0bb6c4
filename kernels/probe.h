// A kernel that shows that kernels run at all.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lockstep {

inline constexpr int kProbeThreads = 64;

// values[i] = 2 i + 1 for i in [0, kProbeThreads), int32 on the device. One block, one store a
// thread: 256 bytes. Throws Error (device) where the launch is refused.
void launch_probe(int32_t* values, cudaStream_t stream);

}  // namespace lockstep
