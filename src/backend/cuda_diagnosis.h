// From CUDA's error codes to what a user can do about them.
#pragma once

#include <cuda_runtime.h>

#include "lockstep/device.h"

namespace lockstep {

// "13.0" for 13000; empty for 0.
std::string cuda_version_text(int version);

// Why cudaGetDeviceCount() failed with `error`. `driver` and `runtime` are versions as CUDA writes
// them: 1000 major + 10 minor, 0 for none. `visible` is CUDA_VISIBLE_DEVICES, null where not set.
GpuDiagnosis diagnose_count(cudaError_t error, int driver, int runtime, const char* visible);

// Why `gpu` could not be opened, or a kernel not run on it. `memory` is what is known of its
// memory: zeros where nothing is.
GpuDiagnosis diagnose_gpu(cudaError_t error, const Gpu& gpu, const GpuMemory& memory,
                          const std::string& what);

}  // namespace lockstep
