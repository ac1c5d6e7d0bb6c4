#include "backend/cuda_memory.h"

#include <fmt/format.h>

#include "lockstep/device.h"

namespace lockstep {

namespace {

struct CurrentGpu {
  int index = 0;
  std::size_t free = 0;  // bytes; 0 where the device does not answer
};

CurrentGpu current_gpu() {
  CurrentGpu gpu;
  std::size_t total = 0;
  const bool answered =
      cudaGetDevice(&gpu.index) == cudaSuccess && cudaMemGetInfo(&gpu.free, &total) == cudaSuccess;
  (void)cudaGetLastError();
  return answered ? gpu : CurrentGpu{gpu.index, 0};
}

}  // namespace

void check_allocation(cudaError_t error, const char* what, std::size_t bytes, const char* file,
                      int line) {
  if (error != cudaErrorMemoryAllocation) return check(error, what, file, line);
  const CurrentGpu gpu = current_gpu();
  throw gpu_out_of_memory(gpu.index, what, static_cast<int64_t>(bytes),
                          static_cast<int64_t>(gpu.free));
}

void check_pinned_allocation(cudaError_t error, std::size_t bytes, const char* file, int line) {
  if (error != cudaErrorMemoryAllocation) return check(error, "pinned memory", file, line);
  const CurrentGpu gpu = current_gpu();
  throw Error(
      ErrorKind::device,
      fmt::format("GPU {}: {} bytes of this machine's memory cannot be pinned for it, while "
                  "{} of its own are free",
                  gpu.index, bytes, gpu.free),
      "end programs that pin memory or use much of it, or raise the limit of locked memory "
      "(`ulimit -l`)");
}

}  // namespace lockstep
