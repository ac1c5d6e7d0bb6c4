// The API of devices.
#include <cstdio>

#include "capture.h"
#include "cuda_runtime_api.h"
#include "device.h"
#include "limits.h"
#include "settings.h"

using namespace lockstep::emulator;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const Quiet quiet;
  *count = 0;
  if (const cudaError_t error = runtime().start_error()) return last_error() = error;
  *count = static_cast<int>(runtime().devices.size());
  return cudaSuccess;
}

// Works on a device that is lost, as choosing another is the way out.
cudaError_t cudaSetDevice(int device) {
  const Quiet quiet;
  try {
    runtime().device(device);
  } catch (const Failure& failure) {
    return last_error() = failure.error;
  }
  current_device_ordinal() = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  return api([&] { *device = runtime().current().ordinal(); });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api([&] {
    const Device& asked = runtime().device(device);
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Lockstep CUDA emulator");
    std::snprintf(properties->uuid.bytes, sizeof properties->uuid.bytes, "emulated-%d", device);
    properties->totalGlobalMem = asked.memory_limit;
    properties->sharedMemPerBlock = kSharedBytes;
    properties->regsPerBlock = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = kBlockThreads;
    properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = kBlockThreads;
    properties->maxThreadsDim[2] = kBlockDepth;
    properties->maxGridSize[0] = kGridWidth;
    properties->maxGridSize[1] = properties->maxGridSize[2] = kGridHeight;
    properties->major = asked.major;
    properties->minor = asked.minor;
    properties->multiProcessorCount = asked.multiprocessors;
    properties->canMapHostMemory = 1;
    properties->concurrentKernels = 1;
    properties->pciBusID = device + 1;
    properties->asyncEngineCount = 2;
    properties->unifiedAddressing = 1;
    properties->l2CacheSize = 32 << 20;
    properties->maxThreadsPerMultiProcessor = kMultiprocessorThreads;
    properties->sharedMemPerMultiprocessor = kSharedBytesMultiprocessor;
    properties->sharedMemPerBlockOptin = kSharedBytesOptIn;
    properties->cooperativeLaunch = 1;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api([&] {
    const Device& asked = runtime().device(device);
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock: *value = kBlockThreads; return;
      case cudaDevAttrMaxSharedMemoryPerBlock: *value = kSharedBytes; return;
      case cudaDevAttrWarpSize: *value = 32; return;
      case cudaDevAttrClockRate: *value = kClockKilohertz; return;
      case cudaDevAttrMultiProcessorCount: *value = asked.multiprocessors; return;
      case cudaDevAttrComputeMode: *value = cudaComputeModeDefault; return;
      case cudaDevAttrEccEnabled: *value = 1; return;
      case cudaDevAttrMemoryClockRate: *value = kMemoryClockKilohertz; return;
      case cudaDevAttrGlobalMemoryBusWidth: *value = kMemoryBusBits; return;
      case cudaDevAttrUnifiedAddressing: *value = 1; return;
      case cudaDevAttrComputeCapabilityMajor: *value = asked.major; return;
      case cudaDevAttrComputeCapabilityMinor: *value = asked.minor; return;
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = kSharedBytesMultiprocessor; return;
      case cudaDevAttrCooperativeLaunch: *value = 1; return;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kSharedBytesOptIn; return;
      case cudaDevAttrMemoryPoolsSupported: *value = 1; return;
      case cudaDevAttrClusterLaunch: *value = asked.major >= 9; return;
    }
    throw Failure{cudaErrorInvalidValue};
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  return api([&] {
    require(length >= 13);
    std::snprintf(id, static_cast<std::size_t>(length), "0000:%02X:00.0",
                  static_cast<unsigned>(runtime().device(device).ordinal() + 1) & 0xffU);
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return api([&] {
    *least = 0;
    *greatest = -5;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return api([&] {
    runtime().device(device);
    runtime().device(peer);
    *can = device != peer;
  });
}

// Kernels reach every device's memory in any case.
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return api([&] {
    require(flags == 0);
    require(&runtime().device(peer) != &runtime().current(), cudaErrorInvalidDevice);
  });
}

cudaError_t cudaDeviceSynchronize() {
  return api([&] {
    std::vector<std::shared_ptr<Signal>> ends;
    {
      const std::lock_guard lock(runtime().mutex);
      for (const auto& stream : runtime().current().streams()) {
        require(!stream->capture, cudaErrorStreamCaptureUnsupported);
        ends.push_back(stream->mark());
      }
    }
    for (const auto& end : ends) end->wait();
  });
}

// Revives a lost device once its work has ended. What was made on it stays, unlike CUDA's.
cudaError_t cudaDeviceReset() {
  const Quiet quiet;
  Device& device = runtime().current();
  std::vector<std::shared_ptr<Signal>> ends;
  {
    const std::lock_guard lock(runtime().mutex);
    for (const auto& stream : device.streams()) ends.push_back(stream->mark());
  }
  for (const auto& end : ends) end->wait();
  device.revive();
  last_error() = cudaSuccess;
  return cudaSuccess;
}
