// What the emulator's tests share: memory and streams that free themselves, checked calls.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "emulator/control.h"
#include "kernels.h"
#include "kernels/launch.h"

namespace lockstep::test {

class EmulatorTest : public testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override {
    emulator::set_delays(100, 8);
    emulator::set_seed(1);
    emulator::set_one_at_a_time(false);
    emulator::reset();
  }
};

// For tests of what a kernel or a program does wrong, which ThreadSanitizer reports as a race: the
// race program of race_test.cpp shows that it does.
#define SKIP_UNDER_THREAD_SANITIZER() \
  if (emulator::under_thread_sanitizer()) GTEST_SKIP() << "races on purpose"

// Device memory of `count` values, or of those given. Freed by the emulator's reset().
template <class T>
T* on_device(std::size_t count) {
  T* pointer = nullptr;
  check(cudaMalloc(&pointer, count * sizeof(T)), "cudaMalloc");
  return pointer;
}

template <class T>
T* on_device(const std::vector<T>& values) {
  T* pointer = on_device<T>(values.size());
  check(cudaMemcpy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
        "cudaMemcpy");
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

inline cudaStream_t new_stream(unsigned flags = cudaStreamNonBlocking) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, flags), "cudaStreamCreateWithFlags");
  return stream;
}

inline cudaEvent_t new_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return event;
}

inline std::vector<float> numbered(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

}  // namespace lockstep::test
