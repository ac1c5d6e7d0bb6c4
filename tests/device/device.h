// The device that tests of device code run on: the emulator in a build with it, else GPU 0.
//
// What the emulator alone can do (faults, orders, other GPUs) is emulator/control.h. A test that
// needs it is built with the emulator only, or asks by way of the functions here.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "lockstep/backend.h"
#ifdef LOCKSTEP_EMULATOR
#include "emulator/control.h"
#endif

namespace lockstep::testing {

#ifdef LOCKSTEP_EMULATOR
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

// Why device code cannot run here; empty where it can.
const std::string& why_no_device();

// Waits for all work, then frees what device_memory() and new_stream() gave; the emulator's devices
// are made anew. Throws Error (device) where a kernel failed on a GPU.
void renew_device();

// Uninitialised, freed by renew_device(). Throws Error (device).
void* device_memory(std::size_t bytes);
// One that the default stream does not wait for, destroyed by renew_device().
cudaStream_t new_stream();

// Whether TF32 and bf16 products run: compute capability 8.0 and later.
bool has_tensor_cores();

// Those that the device computes in.
inline std::vector<Precision> precisions() {
  if (!has_tensor_cores()) return {Precision::fp32};
  return {Precision::fp32, Precision::tf32, Precision::bf16};
}

// Another order of blocks and threads on the emulator; nothing on a GPU, which takes its own each
// time.
void set_order(std::uint64_t seed);
// Up to so many microseconds before some operations of the emulator's streams, until a test ends;
// nothing on a GPU.
void set_delays(int max_microseconds);
// Pretends that the device has so many multiprocessors, or that compute capability, until
// renew_device(). False on a GPU, which stays what it is.
bool pretend_multiprocessors(int count);
bool pretend_capability(int major, int minor);
// Events show the emulator's virtual time from now on until renew_device(), the same in every run;
// nothing on a GPU.
void use_virtual_time();
// Drops the k-th wait for an event from now on; -1: none. False on a GPU, which drops none.
bool drop_event_wait(long k);
// Makes so many new devices on the emulator. On GPUs: whether there are so many.
bool renew_devices(int count);
// Whether ThreadSanitizer watches the device's threads, which makes them slow.
bool under_thread_sanitizer();
// Kernels launched so far; nothing on a GPU, which does not count.
std::optional<long> launches_seen();

// Skips where there is no device, and gives back what a test took.
class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
};

template <class T>
T* device_array(std::size_t count) {
  return static_cast<T*>(device_memory(count * sizeof(T)));
}

template <class T>
T* to_device(const std::vector<T>& values) {
  T* pointer = device_array<T>(values.size());
  check(cudaMemcpy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
        "cudaMemcpy");
  // From pageable memory the copy may still be on its way, and new_stream()'s wait for none.
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  return pointer;
}

// The device's values, once all its work has ended.
template <class T>
std::vector<T> from_device(const T* pointer, std::size_t count) {
  std::vector<T> values(count);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check(cudaMemcpy(values.data(), pointer, count * sizeof(T), cudaMemcpyDeviceToHost),
        "cudaMemcpy");
  return values;
}

}  // namespace lockstep::testing
