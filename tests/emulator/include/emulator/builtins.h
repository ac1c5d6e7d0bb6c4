// threadIdx and its like, barriers and fences.
#pragma once

#include <ctime>

#include "emulator/device_runtime.h"

inline uint3 lockstep_thread_index() {
  return lockstep::emulator::thread_index();
}
inline uint3 lockstep_block_index() {
  return lockstep::emulator::block_index();
}
inline dim3 lockstep_block_dimensions() {
  return lockstep::emulator::block_dimensions();
}
inline dim3 lockstep_grid_dimensions() {
  return lockstep::emulator::grid_dimensions();
}

// Unqualified names, as cudaLaunchConfig_t has members gridDim and blockDim: see there.
#define threadIdx lockstep_thread_index()
#define blockIdx lockstep_block_index()
#define blockDim lockstep_block_dimensions()
#define gridDim lockstep_grid_dimensions()
#define warpSize 32

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  lockstep::emulator::block_barrier(0, nullptr, {file, line});
}
inline int __syncthreads_count(int predicate, const char* file = __builtin_FILE(),
                               int line = __builtin_LINE()) {
  return lockstep::emulator::block_barrier(predicate, nullptr, {file, line});
}
inline int __syncthreads_or(int predicate, const char* file = __builtin_FILE(),
                            int line = __builtin_LINE()) {
  return lockstep::emulator::block_barrier(predicate, nullptr, {file, line}) != 0;
}
inline int __syncthreads_and(int predicate, const char* file = __builtin_FILE(),
                             int line = __builtin_LINE()) {
  int threads = 0;
  return lockstep::emulator::block_barrier(predicate, &threads, {file, line}) == threads;
}

inline void __threadfence(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  lockstep::emulator::fence({file, line});
}
inline void __threadfence_block(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  lockstep::emulator::fence({file, line});
}
inline void __threadfence_system(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  lockstep::emulator::fence({file, line});
}
inline void __nanosleep(unsigned) {
  lockstep::emulator::yield();
}
[[noreturn]] inline void __trap(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  lockstep::emulator::trap("__trap", {file, line});
}

inline long long clock64() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

template <class T>
T __ldg(const T* pointer) {
  return *pointer;
}
