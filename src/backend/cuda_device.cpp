// GPUs as CUDA's runtime shows them.
#include <cuda_runtime.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "backend/cuda_build.h"
#include "backend/cuda_diagnosis.h"
#include "backend/cuda_memory.h"
#include "kernels/check.h"
#include "kernels/probe.h"
#include "lockstep/device.h"

namespace lockstep {

namespace {

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

// What this driver does not know of a device is nothing to fail for.
std::optional<int> attribute(cudaDeviceAttr name, int index) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, name, index) == cudaSuccess) return value;
  (void)cudaGetLastError();
  return std::nullopt;
}

Gpu describe(int index) {
  constexpr int kKilohertz = 1000;
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  std::array<char, 32> pci{};
  check(cudaDeviceGetPCIBusId(pci.data(), static_cast<int>(pci.size()), index),
        "cudaDeviceGetPCIBusId");
  Gpu gpu;
  gpu.index = index;
  gpu.name = properties.name;
  gpu.uuid = uuid_text(properties.uuid);
  gpu.pci = pci.data();
  gpu.major = properties.major;
  gpu.minor = properties.minor;
  gpu.multiprocessors = properties.multiProcessorCount;
  gpu.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  if (const auto ecc = attribute(cudaDevAttrEccEnabled, index)) gpu.ecc = *ecc != 0;
  gpu.clock_mhz = attribute(cudaDevAttrClockRate, index).value_or(0) / kKilohertz;
  gpu.memory_clock_mhz = attribute(cudaDevAttrMemoryClockRate, index).value_or(0) / kKilohertz;
  gpu.memory_bus_bits = attribute(cudaDevAttrGlobalMemoryBusWidth, index).value_or(0);
  const int mode = attribute(cudaDevAttrComputeMode, index).value_or(cudaComputeModeDefault);
  gpu.prohibited = mode == cudaComputeModeProhibited;
  gpu.exclusive = mode == cudaComputeModeExclusive || mode == cudaComputeModeExclusiveProcess;
  return gpu;
}

GpuSurvey look() {
  GpuSurvey survey;
  survey.built = true;
  survey.emulated = kCudaEmulated;
  survey.cublas = kCublas;
  survey.architectures = kCudaArchitectures;
  int driver = 0, runtime = 0, count = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  survey.driver = cuda_version_text(driver);
  survey.runtime = cuda_version_text(runtime);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    (void)cudaGetLastError();
    survey.diagnosis = diagnose_count(error, driver, runtime, std::getenv("CUDA_VISIBLE_DEVICES"));
    return survey;
  }
  try {
    for (int index = 0; index < count; ++index) survey.gpus.push_back(describe(index));
  } catch (const Error& failure) {
    survey.gpus.clear();
    survey.diagnosis = {GpuProblem::failed, failure.what(),
                        "`nvidia-smi` and `sudo dmesg` name the cause, or train on the CPU: "
                        "--device cpu"};
  }
  return survey;
}

// Device memory of the probe, whose failure to be had stays CUDA's error.
class ProbeValues {
 public:
  ProbeValues() { check(cudaMalloc(&values_, kProbeThreads * sizeof(int32_t)), "cudaMalloc"); }
  ~ProbeValues() { (void)cudaFree(values_); }
  ProbeValues(const ProbeValues&) = delete;
  ProbeValues& operator=(const ProbeValues&) = delete;
  int32_t* get() const { return values_; }

 private:
  int32_t* values_ = nullptr;
};

// Throws CudaError where a call fails, Error where the kernel computed something else.
void run_probe(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  const Stream stream;
  const ProbeValues values;
  launch_probe(values.get(), stream.get());
  check(cudaStreamSynchronize(stream.get()), "the first kernel");
  std::array<int32_t, kProbeThreads> result{};
  check(cudaMemcpyAsync(result.data(), values.get(), sizeof result, cudaMemcpyDeviceToHost,
                        stream.get()),
        "cudaMemcpyAsync");
  stream.synchronize();
  for (int i = 0; i < kProbeThreads; ++i) {
    if (result[i] == 2 * i + 1) continue;
    throw Error(ErrorKind::device, fmt::format("a kernel stored {} where it should have stored {}",
                                               result[i], 2 * i + 1));
  }
}

}  // namespace

const GpuSurvey& survey_gpus() {
  static const GpuSurvey survey = look();
  return survey;
}

GpuDiagnosis probe_gpu(int index) {
  const Gpu& gpu = survey_gpus().gpus.at(index);
  try {
    run_probe(index);
  } catch (const CudaError& error) {
    size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess) free = total = 0;
    (void)cudaGetLastError();
    const GpuMemory memory{static_cast<int64_t>(free), static_cast<int64_t>(total)};
    return diagnose_gpu(error.code(), gpu, memory, error.what());
  } catch (const Error& error) {
    return diagnose_gpu(cudaErrorUnknown, gpu, {}, error.what());
  }
  return {};
}

GpuMemory gpu_memory(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

double gpu_clock_mhz(int index) {
  constexpr int64_t kUntilAwake = 120'000'000, kMeasured = 40'000'000;  // cycles
  check(cudaSetDevice(index), "cudaSetDevice");
  const int blocks = survey_gpus().gpus.at(index).multiprocessors;
  const Stream stream;
  Event start(Event::Timing::on), end(Event::Timing::on);
  launch_spin(blocks, kUntilAwake, stream.get());
  start.record(stream.get());
  launch_spin(blocks, kMeasured, stream.get());
  end.record(stream.get());
  end.synchronize();
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
  return kMeasured / (1e3 * static_cast<double>(milliseconds));
}

}  // namespace lockstep
