#include "nccl_error.h"

#include <cstdio>
#include <mutex>

#include "nccl_comm.h"

namespace lockstep::emulator {

namespace {

struct LastError {
  std::mutex mutex;
  std::string text;
};

LastError& last() {
  static auto* instance = new LastError;
  return *instance;
}

}  // namespace

void note_nccl_error(const std::string& message) {
  const std::lock_guard lock(last().mutex);
  last().text = message;
}

std::string words_of(const Failure& failure) {
  return std::string("a CUDA call failed: ") + cudaGetErrorString(failure.error);
}

}  // namespace lockstep::emulator

using namespace lockstep::emulator;

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInternalError: return "internal error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    default: return "unknown result code";
  }
}

// The text stays until the calling thread asks again.
const char* ncclGetLastError(ncclComm_t comm) {
  const Quiet quiet;
  thread_local std::string text;
  text.clear();
  if (const auto asked = find_comm(comm)) text = asked->message();
  if (text.empty()) {
    const std::lock_guard lock(last().mutex);
    text = last().text;
  }
  return text.c_str();
}

ncclResult_t ncclGetVersion(int* version) {
  if (!version) return ncclInvalidArgument;
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
