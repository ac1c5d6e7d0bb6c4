// Where a captured step's time goes: events between its phases, which a replay records and the host
// reads afterwards.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda_memory.h"
#include "lockstep/backend.h"

namespace lockstep {

// Of one step, captured, or queued each time by the same calls. Events cost time, so that there is
// a step without them as well, and the one with them is run now and then.
class CudaPhases {
 public:
  // What follows begins a phase; what came since the last call was part of this one.
  void begin(cudaStream_t stream) { mark(nullptr, stream); }
  void end(double StepSeconds::*phase, cudaStream_t stream) { mark(phase, stream); }

  // Before the calls are made again.
  void restart() { next_ = 0; }

  // Adds the last run's phases. REQUIRES: it has ended.
  void add_to(StepSeconds& seconds) const;

  // Whether a step has a time of its own for the phase.
  bool has(double StepSeconds::*phase) const;

 private:
  struct Mark {
    double StepSeconds::*phase;  // that ends here; null: none
    std::unique_ptr<Event> event;
  };
  void mark(double StepSeconds::*phase, cudaStream_t stream);

  std::vector<Mark> marks_;
  size_t next_ = 0;
};

}  // namespace lockstep
