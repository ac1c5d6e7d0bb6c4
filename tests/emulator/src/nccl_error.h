// Errors of the emulated NCCL: thrown inside, returned outside.
#pragma once

#include <string>

#include "error.h"
#include "nccl.h"

namespace lockstep::emulator {

struct NcclFailure {
  ncclResult_t result;
  std::string message;
};

// What ncclGetLastError says where it is asked without a communicator.
void note_nccl_error(const std::string& message);

std::string words_of(const Failure& failure);

inline void require_nccl(bool condition, ncclResult_t otherwise, const std::string& message) {
  if (!condition) throw NcclFailure{otherwise, message};
}

// Runs a function of the API, which gives a result, under Quiet.
template <class Function>
ncclResult_t nccl_api(Function function) {
  const Quiet quiet;
  try {
    return function();
  } catch (const NcclFailure& failure) {
    note_nccl_error(failure.message);
    return failure.result;
  } catch (const Failure& failure) {
    note_nccl_error(words_of(failure));
    return ncclUnhandledCudaError;
  }
}

}  // namespace lockstep::emulator
