// Where a captured step's time goes: events between its phases, which a replay records and the host
// reads afterwards.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda_memory.h"
#include "lockstep/backend.h"

namespace lockstep {

// Of one captured step. Events cost time, so that a step is captured without them as well, and the
// one with them is replayed now and then.
class CudaPhases {
 public:
  // While the stream is captured: what follows begins a phase; what came since the last call was
  // part of this one.
  void begin(cudaStream_t stream) { mark(nullptr, stream); }
  void end(double StepSeconds::*phase, cudaStream_t stream) { mark(phase, stream); }

  // Adds the last replay's phases. REQUIRES: it has ended.
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
};

}  // namespace lockstep
