// Errors of the API: thrown inside, returned outside.
#pragma once

#include "driver_types.h"
#include "sanitizer.h"

namespace lockstep::emulator {

struct Failure {
  cudaError_t error;
};

// The error of the calling host thread that cudaGetLastError returns.
cudaError_t& last_error();
// What the current device is stuck with; cudaErrorNoDevice where there is none.
cudaError_t sticky_error_of_current_device();

// Whether a device that had this error runs nothing more.
bool is_sticky(cudaError_t error);

// Runs a function of the API under Quiet: returns what it threw, or the error that the current
// device is stuck with, and keeps it for cudaGetLastError.
template <class Function>
cudaError_t api(Function function) {
  const Quiet quiet;
  cudaError_t error = sticky_error_of_current_device();
  if (error == cudaSuccess) {
    try {
      function();
      error = sticky_error_of_current_device();
    } catch (const Failure& failure) {
      error = failure.error;
    }
  }
  if (error != cudaSuccess) last_error() = error;
  return error;
}

inline void require(bool condition, cudaError_t otherwise = cudaErrorInvalidValue) {
  if (!condition) throw Failure{otherwise};
}

}  // namespace lockstep::emulator
