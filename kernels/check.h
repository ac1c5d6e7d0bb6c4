// Checked CUDA calls: an error becomes the library's exception, with file and line.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "kernels/launch_record.h"
#include "lockstep/error.h"

namespace lockstep {

// Keeps the code, for who knows more about it than its text says.
class CudaError : public Error {
 public:
  CudaError(cudaError_t code, const std::string& message, const std::string& remedy = {})
      : Error(ErrorKind::device, message, remedy), code_(code) {}
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

// Errors of a kernel, or of the hardware under it, which a later call reports: the device runs
// nothing more for this process.
inline bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure: return true;
    default: return false;
  }
}

// Errors of a graph's capture: often of what was queued before the call that reports it.
inline bool is_of_capture(cudaError_t error) {
  return error >= cudaErrorStreamCaptureUnsupported && error <= cudaErrorStreamCaptureWrongThread;
}

// REQUIRES: `error` is not cudaSuccess. `what` names what failed.
[[noreturn]] inline void throw_cuda_error(cudaError_t error, const std::string& what,
                                          const char* file, int line) {
  (void)cudaGetLastError();  // reported here, so nobody else shall find it
  std::string message = what + " failed at " + file_and_line(file, line) + ": " +
                        cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  const LaunchRecord& latest = latest_launch();
  if ((is_sticky(error) || is_of_capture(error)) && latest.kernel) {
    message +=
        "; launched last: " + describe(latest) + ", at " + file_and_line(latest.file, latest.line);
  }
  const char* remedy = is_sticky(error) ? "a kernel before that call has failed, and the GPU is "
                                          "lost to this process: the same run under "
                                          "`compute-sanitizer` names the kernel, `sudo dmesg` "
                                          "what is wrong with the GPU itself"
                                        : "";
  throw CudaError(error, message, remedy);
}

// Throws CudaError unless `error` is cudaSuccess. `what` names the call: "cudaMalloc".
inline void check(cudaError_t error, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (error != cudaSuccess) throw_cuda_error(error, what, file, line);
}

}  // namespace lockstep
