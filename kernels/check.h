// Checked CUDA calls: an error becomes the library's exception, with file and line.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "lockstep/error.h"

namespace lockstep {

// Keeps the code, for who knows more about it than its text says.
class CudaError : public Error {
 public:
  CudaError(cudaError_t code, const std::string& message)
      : Error(ErrorKind::device, message), code_(code) {}
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

// Throws CudaError unless `error` is cudaSuccess. `what` names the call: "cudaMalloc".
inline void check(cudaError_t error, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();  // reported here, so nobody else shall find it
  throw CudaError(error, std::string(what) + " failed at " + file + ":" + std::to_string(line) +
                             ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) +
                             ")");
}

}  // namespace lockstep
