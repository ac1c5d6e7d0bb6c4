// A build without CUDA: no GPUs, and the reason.
#include <filesystem>
#include <system_error>

#include "backend/cuda_backend.h"
#include "lockstep/backend.h"
#include "lockstep/device.h"

namespace lockstep {

namespace {

GpuDiagnosis not_built() {
  std::error_code ignored;
  const bool driver = std::filesystem::exists("/proc/driver/nvidia/version", ignored);
  return {GpuProblem::not_built,
          driver ? "this build has no CUDA support, although this machine has an NVIDIA driver"
                 : "this build has no CUDA support",
          "build where the CUDA toolkit is installed (`cmake --preset cuda` says what it misses), "
          "or train on the CPU: --device cpu"};
}

}  // namespace

const GpuSurvey& survey_gpus() {
  static const GpuSurvey survey = [] {
    GpuSurvey none;
    none.diagnosis = not_built();
    return none;
  }();
  return survey;
}

GpuDiagnosis probe_gpu(int) {
  return not_built();
}

GpuMemory gpu_memory(int) {
  throw not_built().error();
}

double gpu_clock_mhz(int) {
  throw not_built().error();
}

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw not_built().error();
}

bool cuda_backend_is_proven() {
  return false;
}

}  // namespace lockstep
