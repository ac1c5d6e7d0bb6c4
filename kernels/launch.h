// The one way to start a kernel: checked, and the same source under nvcc and on the emulator.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace lockstep {

struct Launch {
  dim3 grid;
  dim3 block;
  cudaStream_t stream;           // never the default stream by accident: it has no default
  std::size_t shared_bytes = 0;  // dynamic shared memory of a block, see shared<T>()
  // Blocks of a cluster, along x; divides grid.x. Above 1: compute capability 9.0 and later.
  unsigned cluster = 1;
  // May start before the kernel before it in the stream has ended; it then reads nothing of that
  // kernel's before wait_for_previous_kernel(). Compute capability 9.0 and later.
  bool programmatic = false;

  // Where the launch stands in the source.
  const char* file = __builtin_FILE();
  int line = __builtin_LINE();
};

// Starts `kernel` on the stream's device, which must be the current one. Throws CudaError, which
// names the kernel and how it was launched, where CUDA refuses; what goes wrong in the kernel
// itself shows in a later call.
template <class... Parameters, class... Arguments>
void launch(const Launch& how, void (*kernel)(Parameters...), Arguments&&... arguments) {
  constexpr std::size_t kSharedBytesForAll = 48 << 10;
  constexpr unsigned kPortableCluster = 8;
  const LaunchRecord record{.kernel = reinterpret_cast<const void*>(kernel),
                            .grid = how.grid,
                            .block = how.block,
                            .shared_bytes = how.shared_bytes,
                            .cluster = how.cluster,
                            .file = how.file,
                            .line = how.line};
  const auto checked = [&](cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    throw_cuda_error(error, std::string(what) + " " + describe(record), how.file, how.line);
  };
  if (how.shared_bytes > kSharedBytesForAll) {
    checked(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(how.shared_bytes)),
            "shared memory for");
  }
  if (how.cluster > kPortableCluster) {
    checked(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
            "a large cluster for");
  }

  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};
  config.gridDim = how.grid;
  config.blockDim = how.block;
  config.dynamicSmemBytes = how.shared_bytes;
  config.stream = how.stream;
  config.attrs = attributes;
  if (how.cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = how.cluster;
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
  }
  if (how.programmatic) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  checked(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
          "the launch of");
  latest_launch() = record;
}

}  // namespace lockstep
