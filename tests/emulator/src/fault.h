// Faults that tests inject: see emulator/control.h.
#pragma once

#include <mutex>

#include "driver_types.h"

namespace lockstep::emulator {

class Faults {
 public:
  void drop_barrier(long k);
  void drop_event_wait(long k);
  void fail_launch(long k, cudaError_t error);

  // Each counts one more, and says what becomes of it.
  bool next_barrier_is_dropped();
  bool next_event_wait_is_dropped();
  cudaError_t next_launch();

  long barriers() const;
  long event_waits() const;
  long launches() const;

 private:
  struct Counter {
    long seen = 0;
    long chosen = -1;
    void choose(long k) { *this = {0, k}; }
    bool next() { return seen++ == chosen; }
  };

  mutable std::mutex mutex_;
  Counter barriers_;
  Counter event_waits_;
  Counter launches_;
  cudaError_t launch_error_ = cudaSuccess;
};

Faults& faults();

}  // namespace lockstep::emulator
