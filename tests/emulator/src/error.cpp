#include "error.h"

#include <utility>

#include "cuda_runtime_api.h"
#include "device.h"

namespace lockstep::emulator {

cudaError_t& last_error() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

cudaError_t sticky_error_of_current_device() {
  try {
    return runtime().current().sticky_error();
  } catch (const Failure& failure) {
    return failure.error;
  }
}

bool is_sticky(cudaError_t error) {
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

namespace {

struct Name {
  cudaError_t error;
  const char* name;
  const char* text;
};

#define LOCKSTEP_ERROR(name, text) \
  { name, #name, text }
constexpr Name kNames[] = {
    LOCKSTEP_ERROR(cudaSuccess, "no error"),
    LOCKSTEP_ERROR(cudaErrorInvalidValue, "invalid argument"),
    LOCKSTEP_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    LOCKSTEP_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    LOCKSTEP_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    LOCKSTEP_ERROR(cudaErrorInsufficientDriver,
                   "CUDA driver version is insufficient for CUDA runtime version"),
    LOCKSTEP_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    LOCKSTEP_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    LOCKSTEP_ERROR(cudaErrorNoKernelImageForDevice,
                   "no kernel image is available for execution on the device"),
    LOCKSTEP_ERROR(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    LOCKSTEP_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    LOCKSTEP_ERROR(cudaErrorNotReady, "device not ready"),
    LOCKSTEP_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    LOCKSTEP_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    LOCKSTEP_ERROR(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    LOCKSTEP_ERROR(cudaErrorAssert, "device-side assert triggered"),
    LOCKSTEP_ERROR(cudaErrorHardwareStackError, "hardware stack error"),
    LOCKSTEP_ERROR(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    LOCKSTEP_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    LOCKSTEP_ERROR(cudaErrorInvalidAddressSpace,
                   "operation not supported on global/shared address space"),
    LOCKSTEP_ERROR(cudaErrorInvalidPc, "invalid program counter"),
    LOCKSTEP_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
    LOCKSTEP_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    LOCKSTEP_ERROR(cudaErrorNotSupported, "operation not supported"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureUnsupported,
                   "operation not permitted when stream is capturing"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureInvalidated,
                   "operation failed due to a previous error during capture"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureMerge,
                   "operation would result in a merge of separate capture sequences"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureIsolation,
                   "dependency created on uncaptured work in another stream"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureImplicit,
                   "operation would make the legacy stream depend on a capturing blocking stream"),
    LOCKSTEP_ERROR(cudaErrorCapturedEvent,
                   "operation not permitted on an event last recorded in "
                   "a capturing stream"),
    LOCKSTEP_ERROR(cudaErrorInvalidClusterSize, "invalid cluster size"),
};
#undef LOCKSTEP_ERROR

const Name* find(cudaError_t error) {
  for (const Name& name : kNames) {
    if (name.error == error) return &name;
  }
  return nullptr;
}

}  // namespace

}  // namespace lockstep::emulator

using namespace lockstep::emulator;

// The device's own error stays; any other is forgotten once it is asked for.
cudaError_t cudaGetLastError() {
  const Quiet quiet;
  const cudaError_t sticky = sticky_error_of_current_device();
  const cudaError_t last = std::exchange(last_error(), sticky);
  return sticky != cudaSuccess ? sticky : last;
}

cudaError_t cudaPeekAtLastError() {
  const Quiet quiet;
  const cudaError_t sticky = sticky_error_of_current_device();
  return sticky != cudaSuccess ? sticky : last_error();
}

const char* cudaGetErrorName(cudaError_t error) {
  const auto* name = find(error);
  return name ? name->name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  const auto* name = find(error);
  return name ? name->text : "unrecognized error code";
}
