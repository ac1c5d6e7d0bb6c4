// Where a captured step's time goes: events between its phases, which a replay records and the host
// reads afterwards.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda_timeline.h"
#include "lockstep/backend.h"

namespace lockstep {

// Of one step, captured, or queued each time by the same calls. Events cost time, so that there is
// a step without them as well, and the one with them is run now and then.
class CudaPhases {
 public:
  // What follows begins a phase; what came since the last call was part of this one, and in a
  // trace of kind `what`. `phase` may be null: it has no figure.
  void begin(cudaStream_t stream) { mark(nullptr, nullptr, stream); }
  void end(double StepSeconds::*phase, const TraceEvent& what, cudaStream_t stream) {
    mark(phase, &what, stream);
  }

  // Before the calls are made again.
  void restart() { next_ = 0; }

  // Adds the last run's phases. REQUIRES: it has ended.
  void add_to(StepSeconds& seconds) const;
  // The same to a trace, as parts of `step`, in which the run began after timeline.place().
  void add_to(CudaTimeline& timeline, int64_t step) const;

  // Whether a step has a time of its own for the phase.
  bool has(double StepSeconds::*phase) const;

 private:
  struct Mark {
    double StepSeconds::*phase;  // that ends here; null: none
    bool ends;                   // something does
    TraceEvent what;
    std::unique_ptr<Event> event;
  };
  void mark(double StepSeconds::*phase, const TraceEvent* what, cudaStream_t stream);

  std::vector<Mark> marks_;
  size_t next_ = 0;
};

}  // namespace lockstep
