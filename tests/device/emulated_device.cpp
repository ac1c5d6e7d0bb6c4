#include <utility>

#include "device/device.h"

namespace lockstep::testing {

namespace {

constexpr int kDevice = 0;
constexpr int kMicroseconds = 100, kOneIn = 8;  // delays, as they are without a word

bool delays_are_set = false;

}  // namespace

const std::string& why_no_device() {
  static const std::string none;
  return none;
}

// A kernel that failed on purpose is forgotten with its device.
void renew_device() {
  emulator::reset();
}

void* device_memory(std::size_t bytes) {
  void* pointer = nullptr;
  check(cudaMalloc(&pointer, bytes), "cudaMalloc");
  return pointer;
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

bool has_tensor_cores() {
  return true;
}

void set_order(std::uint64_t seed) {
  emulator::set_seed(seed);
}

void set_delays(int max_microseconds) {
  delays_are_set = true;
  emulator::set_delays(max_microseconds, kOneIn);
}

bool pretend_multiprocessors(int count) {
  emulator::set_multiprocessors(kDevice, count);
  return true;
}

bool pretend_capability(int major, int minor) {
  emulator::set_compute_capability(kDevice, major, minor);
  return true;
}

void use_virtual_time() {
  emulator::set_virtual_time(true);
}

bool drop_event_wait(long k) {
  emulator::drop_event_wait(k);
  return true;
}

bool renew_devices(int count) {
  emulator::reset(count);
  return true;
}

bool under_thread_sanitizer() {
  return emulator::under_thread_sanitizer();
}

std::optional<long> launches_seen() {
  return emulator::launches_seen();
}

void DeviceTest::SetUp() {
  renew_device();
}

void DeviceTest::TearDown() {
  emulator::set_seed(1);
  if (std::exchange(delays_are_set, false)) emulator::set_delays(kMicroseconds, kOneIn);
  renew_device();
}

}  // namespace lockstep::testing
