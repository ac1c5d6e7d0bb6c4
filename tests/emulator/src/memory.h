// Device and pinned host memory: who owns which addresses.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "driver_types.h"

namespace lockstep::emulator {

class Device;

struct Allocation {
  char* begin;
  std::size_t bytes;
  Device* device;
  bool on_device;  // else pinned host memory
};

// Any thread; REQUIRE Quiet.
class Memory {
 public:
  // Throws Failure: cudaErrorMemoryAllocation where the device has not so much left. Memory on the
  // device begins as NaN.
  void* allocate(Device& device, std::size_t bytes, bool on_device);
  // Throws Failure where the pointer is not the beginning of one. With `audible` the freeing counts
  // as an access, as one in a stream's order does.
  void release(void* pointer, bool audible = false);
  // The allocation that `pointer` points into.
  std::optional<Allocation> find(const void* pointer) const;
  void release_all();
  // What is not released, in words.
  std::string held() const;

  void poison_device_memory(bool poisoned);

 private:
  mutable std::mutex mutex_;
  std::map<const char*, Allocation> allocations_;  // by address
};

Memory& memory();

// While one lives an operation may use device memory. Where operations run one at a time, another
// waits, and device memory is poisoned when none lives.
class DeviceMemoryInUse {
 public:
  DeviceMemoryInUse();
  ~DeviceMemoryInUse();
  DeviceMemoryInUse(const DeviceMemoryInUse&) = delete;
  DeviceMemoryInUse& operator=(const DeviceMemoryInUse&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace lockstep::emulator
