// Launches: checked as CUDA checks them, then put into their stream.
#include "emulator/launch.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "cuda_runtime_api.h"
#include "device.h"
#include "fault.h"
#include "limits.h"
#include "report.h"

namespace lockstep::emulator {

namespace {

struct FunctionAttributes {
  int shared_bytes = kSharedBytes;
  bool non_portable_cluster = false;
};

struct Functions {
  std::mutex mutex;
  std::map<const void*, FunctionAttributes> attributes;
};

Functions& functions() {
  static auto* instance = new Functions;
  return *instance;
}

FunctionAttributes attributes_of(const void* function) {
  const std::lock_guard lock(functions().mutex);
  return functions().attributes[function];
}

std::uint64_t volume(dim3 size) {
  return std::uint64_t{size.x} * size.y * size.z;
}

void apply(const cudaLaunchAttribute& attribute, KernelLaunch& launch) {
  switch (attribute.id) {
    case cudaLaunchAttributeIgnore:
    case cudaLaunchAttributePriority: break;
    case cudaLaunchAttributeCooperative: launch.cooperative = attribute.val.cooperative != 0; break;
    case cudaLaunchAttributeClusterDimension:
      launch.cluster =
          dim3(attribute.val.clusterDim.x, attribute.val.clusterDim.y, attribute.val.clusterDim.z);
      break;
    case cudaLaunchAttributeProgrammaticStreamSerialization:
      launch.programmatic = attribute.val.programmaticStreamSerializationAllowed != 0;
      break;
  }
}

void check_cluster(const KernelLaunch& launch, const FunctionAttributes& attributes) {
  const auto blocks = volume(launch.cluster);
  const bool divides = blocks > 0 && launch.grid.x % launch.cluster.x == 0 &&
                       launch.grid.y % launch.cluster.y == 0 &&
                       launch.grid.z % launch.cluster.z == 0;
  require(divides, cudaErrorInvalidClusterSize);
  const int most = attributes.non_portable_cluster ? kClusterBlocksNonPortable : kClusterBlocks;
  require(blocks <= static_cast<std::uint64_t>(most), cudaErrorInvalidClusterSize);
  const bool hopper = launch.device->major >= 9;
  require(hopper || (blocks == 1 && !launch.programmatic), cudaErrorNotSupported);
}

void check(const KernelLaunch& launch) {
  const int capability = 10 * launch.device->major + launch.device->minor;
  require(capability >= kOldestCapability, cudaErrorNoKernelImageForDevice);
  const FunctionAttributes attributes = attributes_of(launch.function);
  const auto threads = volume(launch.block);
  require(threads > 0 && threads <= kBlockThreads && launch.block.z <= kBlockDepth,
          cudaErrorInvalidConfiguration);
  require(volume(launch.grid) > 0 && launch.grid.x <= static_cast<unsigned>(kGridWidth) &&
              std::max(launch.grid.y, launch.grid.z) <= static_cast<unsigned>(kGridHeight),
          cudaErrorInvalidConfiguration);
  require(launch.shared_bytes <= static_cast<std::size_t>(attributes.shared_bytes));
  check_cluster(launch, attributes);
  if (!launch.cooperative) return;
  int resident = 0;
  occupancy(&resident, static_cast<int>(threads), launch.shared_bytes);
  require(
      volume(launch.grid) <= static_cast<std::uint64_t>(resident) * launch.device->multiprocessors,
      cudaErrorCooperativeLaunchTooLarge);
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t* config, const void* function, KernelBody body) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    const auto stream = runtime().stream(config->stream);
    // A stream belongs to the device that was current when it was made.
    require(&stream->device() == &runtime().current(), cudaErrorInvalidResourceHandle);
    KernelLaunch launch{.device = &stream->device(),
                        .function = function,
                        .body = std::move(body),
                        .grid = config->gridDim,
                        .block = config->blockDim,
                        .cluster = dim3(),
                        .shared_bytes = config->dynamicSmemBytes,
                        .programmatic = false,
                        .cooperative = false};
    for (unsigned i = 0; i < config->numAttrs; ++i) apply(config->attrs[i], launch);
    check(launch);
    const cudaError_t injected = faults().launch.next_error();
    if (is_sticky(injected)) launch.device->fail(injected, "an injected failure");
    require(injected == cudaSuccess, injected);
    submit(stream, kernel_operation(std::move(launch)));
  });
}

cudaError_t set_function_attribute(const void* function, cudaFuncAttribute attribute, int value) {
  return api([&] {
    const std::lock_guard lock(functions().mutex);
    auto& attributes = functions().attributes[function];
    switch (attribute) {
      case cudaFuncAttributeMaxDynamicSharedMemorySize:
        require(value >= 0 && value <= kSharedBytesOptIn);
        attributes.shared_bytes = std::max(value, kSharedBytes);
        break;
      case cudaFuncAttributePreferredSharedMemoryCarveout: break;
      case cudaFuncAttributeNonPortableClusterSizeAllowed:
        attributes.non_portable_cluster = value != 0;
        break;
    }
  });
}

// By threads and shared memory alone: the emulator knows nothing of registers.
cudaError_t occupancy(int* blocks, int block_threads, std::size_t shared_bytes) {
  if (block_threads < 1 || block_threads > kBlockThreads) return cudaErrorInvalidValue;
  const int warps = (block_threads + 31) / 32;
  const int by_threads = kMultiprocessorThreads / (warps * 32);
  const auto by_shared = static_cast<int>(kSharedBytesMultiprocessor / (shared_bytes + 1024));
  *blocks = std::min({by_threads, by_shared, 32});
  return cudaSuccess;
}

}  // namespace lockstep::emulator

// Answers on a lost device too; whether CUDA's does is not documented.
cudaError_t cudaFuncGetName(const char** name, const void* function) {
  *name = lockstep::emulator::symbol_name(function);
  return *name ? cudaSuccess : cudaErrorInvalidDeviceFunction;
}
