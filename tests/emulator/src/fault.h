// Faults that tests inject: see emulator/control.h.
#pragma once

#include <atomic>

#include "driver_types.h"

namespace lockstep::emulator {

// One kind of fault: what becomes of the k-th of its occasions. Any thread.
class Fault {
 public:
  explicit Fault(long k = -1, cudaError_t error = cudaSuccess) : chosen_(k), error_(error) {}

  // From the next occasion on, which is the 0th; -1 injects nothing.
  void choose(long k, cudaError_t error = cudaSuccess);
  // Counts one more: whether it is the chosen one, and with which error it then fails.
  bool next();
  cudaError_t next_error() { return next() ? error_.load() : cudaSuccess; }
  long seen() const { return seen_; }

 private:
  std::atomic<long> seen_ = 0;
  std::atomic<long> chosen_;
  std::atomic<cudaError_t> error_;
};

struct Faults {
  Faults();
  void clear();

  Fault barrier, event_wait, launch, kernel, capture, allocation;
};

Faults& faults();

}  // namespace lockstep::emulator
