// A barrier over the threads of a block, or of a cluster, that have not left the kernel.
#pragma once

#include <vector>

#include "emulator/device_runtime.h"

namespace lockstep::emulator {

struct Thread;

class Barrier {
 public:
  explicit Barrier(unsigned threads);

  // Counts the calling thread in; returns the phase to wait for. `value` is added up over the
  // phase.
  unsigned arrive(int value);

  // Waits for the phase to end; returns the sum of its values.
  int wait(Thread& thread, unsigned phase, const char* what, Site site);

  // A thread left the kernel; `arrived_phase` is that of its last arrival, -1 where it is past it.
  void leave(long arrived_phase = -1);

  unsigned threads() const { return threads_; }
  unsigned arrived() const { return arrived_; }

 private:
  void complete();

  unsigned threads_;
  unsigned arrived_ = 0;
  unsigned phase_ = 0;
  int sums_[2] = {0, 0};
  // Two, by turns: with one, a thread that leaves late would be ordered after what a fast thread
  // did between this barrier and the next.
  char tokens_[2] = {};
  std::vector<Thread*> waiting_;
};

}  // namespace lockstep::emulator
