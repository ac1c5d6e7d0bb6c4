// Checked NCCL calls: an error becomes the library's exception, with file and line.
#pragma once

#include <nccl.h>

#include <string>

#include "kernels/launch_record.h"
#include "lockstep/error.h"

namespace lockstep {

// "NCCL failed in ncclAllReduce at src/...:12: remote process exited ... (its last error)"
inline Error nccl_error(ncclResult_t result, const char* what, ncclComm_t comm, const char* file,
                        int line) {
  std::string message = std::string("NCCL failed in ") + what + " at " + file_and_line(file, line) +
                        ": " + ncclGetErrorString(result);
  const char* last = comm ? ncclGetLastError(comm) : nullptr;
  if (last && *last) message += std::string(" (") + last + ")";
  return {ErrorKind::communication, message,
          "the same run with NCCL_DEBUG=WARN in the environment says more; a worker that ended or "
          "failed first has the cause"};
}

// A call on a non-blocking communicator may be under way when it returns.
inline void check_nccl(ncclResult_t result, const char* what, ncclComm_t comm = nullptr,
                       const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  throw nccl_error(result, what, comm, file, line);
}

// What NCCL says of a communicator some time after the call at fault, in its own words.
inline Error late_nccl_error(int rank, const std::string& text) {
  return {ErrorKind::communication, "NCCL failed on rank " + std::to_string(rank) + ": " + text,
          "a worker that ended or failed first has the cause; NCCL_DEBUG=WARN in the environment "
          "says more"};
}

// "remote process exited or there was a network error (...)"
inline std::string describe_nccl(ncclResult_t result, ncclComm_t comm) {
  const char* last = ncclGetLastError(comm);
  const std::string text = ncclGetErrorString(result);
  return last && *last ? text + " (" + last + ")" : text;
}

}  // namespace lockstep
