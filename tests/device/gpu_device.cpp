#include "device/device.h"
#include "lockstep/device.h"

namespace lockstep::testing {

namespace {

constexpr int kDevice = 0;

// What tests took and renew_device() gives back.
struct Taken {
  std::vector<void*> memory;
  std::vector<cudaStream_t> streams;
};

Taken& taken() {
  static Taken all;
  return all;
}

std::string look_for_device() {
  const GpuSurvey& survey = survey_gpus();
  if (!survey.diagnosis.usable()) return survey.diagnosis.message;
  return probe_gpu(kDevice).message;
}

}  // namespace

const std::string& why_no_device() {
  static const std::string why = look_for_device();
  return why;
}

void renew_device() {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  for (cudaStream_t stream : taken().streams) check(cudaStreamDestroy(stream), "cudaStreamDestroy");
  for (void* memory : taken().memory) check(cudaFree(memory), "cudaFree");
  taken() = {};
}

void* device_memory(std::size_t bytes) {
  void* pointer = nullptr;
  check(cudaMalloc(&pointer, bytes), "cudaMalloc");
  taken().memory.push_back(pointer);
  return pointer;
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  taken().streams.push_back(stream);
  return stream;
}

bool has_tensor_cores() {
  return survey_gpus().gpus.at(kDevice).major >= 8;
}

void set_order(std::uint64_t) {}

void set_delays(int) {}

bool pretend_multiprocessors(int) {
  return false;
}

bool pretend_capability(int, int) {
  return false;
}

void use_virtual_time() {}

bool drop_event_wait(long) {
  return false;
}

bool renew_devices(int count) {
  if (!why_no_device().empty()) return false;
  renew_device();
  return static_cast<int>(survey_gpus().gpus.size()) >= count;
}

bool under_thread_sanitizer() {
  return false;
}

std::optional<long> launches_seen() {
  return std::nullopt;
}

void DeviceTest::SetUp() {
  if (!why_no_device().empty()) GTEST_SKIP() << "no GPU: " << why_no_device();
  check(cudaSetDevice(kDevice), "cudaSetDevice");
}

void DeviceTest::TearDown() {
  if (why_no_device().empty()) renew_device();
}

}  // namespace lockstep::testing
