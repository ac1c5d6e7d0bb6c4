#include "backend/cuda_diagnosis.h"

#include <fmt/format.h>

#include "backend/cuda_build.h"

namespace lockstep {

namespace {

constexpr char kOrCpu[] = "or train on the CPU: --device cpu";
constexpr int kOldestCapability = 75;  // that CUDA 13 compiles for
constexpr int64_t kMegabyte = 1'000'000;

// The first Linux driver that runs CUDA of this major version (CUDA's release notes, "minor version
// compatibility").
const char* first_driver(int major) {
  switch (major) {
    case 12: return "525";
    case 13: return "580";
    default: return nullptr;
  }
}

GpuDiagnosis no_driver() {
  return {GpuProblem::no_driver, "this machine has no NVIDIA driver",
          fmt::format("install one (Ubuntu: `sudo ubuntu-drivers install`, Debian: the package "
                      "nvidia-driver), start a container with its GPUs (docker run --gpus all), {}",
                      kOrCpu)};
}

GpuDiagnosis driver_too_old(int driver, int runtime) {
  const int major = runtime / 1000;
  const char* first = first_driver(major);
  const std::string newer = first ? fmt::format("driver {} or later", first) : "a newer driver";
  return {GpuProblem::driver_too_old,
          fmt::format("the NVIDIA driver is too old: it runs CUDA up to {}, this program is built "
                      "with CUDA {}",
                      cuda_version_text(driver), cuda_version_text(runtime)),
          fmt::format("install {}, or build with CUDA {}, {}", newer, driver / 1000, kOrCpu)};
}

GpuDiagnosis no_device(int driver, const char* visible) {
  GpuDiagnosis diagnosis{GpuProblem::no_device,
                         fmt::format("the NVIDIA driver (CUDA {}) shows this process no GPU",
                                     cuda_version_text(driver)),
                         {}};
  diagnosis.remedy =
      visible ? fmt::format("CUDA_VISIBLE_DEVICES is '{}': unset it, {}", visible, kOrCpu)
              : fmt::format(
                    "`nvidia-smi -L` lists what the driver has; start a container with "
                    "its GPUs (docker run --gpus all), {}",
                    kOrCpu);
  return diagnosis;
}

GpuDiagnosis no_kernel_image(const Gpu& gpu, const std::string& label) {
  const int capability = 10 * gpu.major + gpu.minor;
  const std::string needed = std::to_string(capability);
  GpuDiagnosis diagnosis{
      GpuProblem::no_kernel_image,
      fmt::format("{} has compute capability {}, and this build has code for {}", label,
                  gpu.capability(), kCudaArchitectures),
      fmt::format("build with -DCMAKE_CUDA_ARCHITECTURES='{};{}'", needed, kCudaArchitecturesList)};
  if (capability < kOldestCapability) {
    diagnosis.remedy += " and a CUDA toolkit below 13, the last to know that architecture";
  }
  diagnosis.remedy += fmt::format(", {}", kOrCpu);
  return diagnosis;
}

GpuDiagnosis out_of_memory(const GpuMemory& memory, const std::string& label) {
  const std::string free = memory.total > 0
                               ? fmt::format("{} MB of {} MB are free", memory.free / kMegabyte,
                                             memory.total / kMegabyte)
                               : "there is less";
  return {GpuProblem::out_of_memory,
          fmt::format("{}: opening it needs about 300 MB of its memory, {}", label, free),
          "`nvidia-smi` names the programs that hold it: end them, or choose another GPU with "
          "--device cuda:N"};
}

}  // namespace

std::string cuda_version_text(int version) {
  return version == 0 ? std::string() : fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

GpuDiagnosis diagnose_count(cudaError_t error, int driver, int runtime, const char* visible) {
  // Without a driver CUDA, too, says that its version is too low.
  if (driver == 0) return no_driver();
  switch (error) {
    case cudaErrorInsufficientDriver: return driver_too_old(driver, runtime);
    case cudaSuccess:  // and a count of 0
    case cudaErrorNoDevice: return no_device(driver, visible);
    default: break;
  }
  return {GpuProblem::failed,
          fmt::format("CUDA cannot list the GPUs: {} ({})", cudaGetErrorString(error),
                      cudaGetErrorName(error)),
          fmt::format("`nvidia-smi` and `sudo dmesg` name the cause, {}", kOrCpu)};
}

GpuDiagnosis diagnose_gpu(cudaError_t error, const Gpu& gpu, const GpuMemory& memory,
                          const std::string& what) {
  const std::string label = fmt::format("GPU {} ({})", gpu.index, gpu.name);
  switch (error) {
    case cudaErrorNoKernelImageForDevice: return no_kernel_image(gpu, label);
    case cudaErrorMemoryAllocation: return out_of_memory(memory, label);
    default: break;
  }
  return {GpuProblem::failed, fmt::format("{}: {}", label, what),
          fmt::format("`nvidia-smi` and `sudo dmesg` name the cause, {}", kOrCpu)};
}

}  // namespace lockstep
