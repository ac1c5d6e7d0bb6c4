// The API of memory: allocation and what pointers are.
#include <mutex>

#include "capture.h"
#include "cuda_runtime_api.h"
#include "device.h"
#include "memory.h"

using namespace lockstep::emulator;

namespace {

// What was given to the device's streams, so that memory can go. Orders nothing.
void drain(Device& device) {
  std::vector<std::shared_ptr<Signal>> ends;
  {
    const std::lock_guard lock(runtime().mutex);
    check_no_capture_forbids();
    for (const auto& stream : device.streams()) {
      if (!stream->capture) ends.push_back(stream->mark());
    }
  }
  for (const auto& end : ends) end->wait_without_order();
}

cudaError_t allocate(void** pointer, std::size_t bytes, bool on_device) {
  return api([&] {
    require(pointer != nullptr);
    *pointer = nullptr;
    Device& device = runtime().current();
    {
      const std::lock_guard lock(runtime().mutex);
      check_no_capture_forbids();
    }
    if (bytes > 0) *pointer = memory().allocate(device, bytes, on_device);
  });
}

cudaError_t release(void* pointer, bool on_device) {
  return api([&] {
    if (!pointer) return;
    const auto allocation = memory().find(pointer);
    require(allocation && allocation->begin == pointer && allocation->on_device == on_device);
    if (on_device) {
      drain(*allocation->device);
    } else {
      for (const auto& device : runtime().devices) drain(*device);
    }
    memory().release(pointer);
  });
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return allocate(pointer, bytes, true);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return allocate(pointer, bytes, false);
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return allocate(pointer, bytes, false);
}

cudaError_t cudaFree(void* pointer) {
  return release(pointer, true);
}

cudaError_t cudaFreeHost(void* pointer) {
  return release(pointer, false);
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  return api([&] {
    require(pointer != nullptr && bytes > 0);
    const std::lock_guard lock(runtime().mutex);
    const auto in = runtime().stream(stream);
    require(!in->capture, cudaErrorNotSupported);
    *pointer = memory().allocate(in->device(), bytes, true);
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return api([&] {
    if (!pointer) return;
    const auto allocation = memory().find(pointer);
    require(allocation && allocation->begin == pointer && allocation->on_device);
    const std::lock_guard lock(runtime().mutex);
    const auto in = runtime().stream(stream);
    require(!in->capture, cudaErrorNotSupported);
    submit(in, free_operation(pointer));
  });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return api([&] {
    const auto allocation = memory().find(host);
    require(allocation && !allocation->on_device);
    *device = host;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return api([&] {
    const Device& device = runtime().current();
    *total = device.memory_limit;
    *free = *total > device.memory_used() ? *total - device.memory_used() : 0;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api([&] {
    const auto allocation = memory().find(pointer);
    auto* address = const_cast<void*>(pointer);
    if (!allocation) {
      *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, address};
    } else if (allocation->on_device) {
      *attributes = {cudaMemoryTypeDevice, allocation->device->ordinal(), address, nullptr};
    } else {
      *attributes = {cudaMemoryTypeHost, allocation->device->ordinal(), address, address};
    }
  });
}
