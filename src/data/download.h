// One transfer over HTTP, resumable.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace lockstep {

struct Transfer {
  std::string url;
  std::string path;             // appended to; what is there already is not asked for again
  int64_t largest = INT64_MAX;  // bytes; a server that sends more is cut off
  // Bytes in the file and their total (0: unknown); false stops the transfer.
  std::function<bool(int64_t, int64_t)> progress;
};

enum class TransferStatus {
  done,
  broken,          // try again later or elsewhere; what arrived stays in the file
  resume_refused,  // the server cannot or will not continue this file: start afresh
  stopped,         // by `progress`
};

struct TransferOutcome {
  TransferStatus status = TransferStatus::done;
  std::string problem;         // for the user: "HTTP 404", "Connection refused"
  int64_t received_bytes = 0;  // in this transfer
};

// Error{runtime} where the file cannot be written.
TransferOutcome download(const Transfer& transfer);

}  // namespace lockstep
