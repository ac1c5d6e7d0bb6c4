// What was launched, in words: for errors.
#pragma once

#include <cuda_runtime.h>
#include <cxxabi.h>

#include <cstddef>
#include <cstdlib>
#include <string>

namespace lockstep {

struct LaunchRecord {
  const void* kernel = nullptr;
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  unsigned cluster = 1;
  const char* file = "";
  int line = 0;
};

// The calling thread's latest launch, one into a graph's capture too; kernel null: none yet. Errors
// alone read it.
inline LaunchRecord& latest_launch() {
  thread_local LaunchRecord record;
  return record;
}

// As it is declared, where CUDA (12.3 and later) knows it and still answers.
inline std::string kernel_name(const void* kernel) {
  const char* symbol = nullptr;
#if CUDART_VERSION >= 12030
  if (cudaFuncGetName(&symbol, kernel) != cudaSuccess) {
    symbol = nullptr;
    (void)cudaGetLastError();
  }
#else
  (void)kernel;
#endif
  if (!symbol) return "a kernel";
  int status = 0;
  char* demangled = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = demangled ? demangled : symbol;
  std::free(demangled);
  return name;
}

inline std::string describe(dim3 size) {
  return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
}

// "softmax(float*), grid 4 x 1 x 1, block 256 x 1 x 1, 384 bytes of shared memory"
inline std::string describe(const LaunchRecord& launch) {
  std::string text = kernel_name(launch.kernel) + ", grid " + describe(launch.grid) + ", block " +
                     describe(launch.block) + ", " + std::to_string(launch.shared_bytes) +
                     " bytes of shared memory";
  if (launch.cluster > 1) text += ", clusters of " + std::to_string(launch.cluster);
  return text;
}

inline std::string file_and_line(const char* file, int line) {
  return std::string(file) + ":" + std::to_string(line);
}

}  // namespace lockstep
