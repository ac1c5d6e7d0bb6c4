// A GPU's events on the host's clock, for a trace.
#pragma once

#include <chrono>
#include <functional>

#include "backend/cuda_memory.h"
#include "lockstep/trace.h"

namespace lockstep {

// One event is recorded while the host watches; others are placed by their distance from it. CUDA
// gives distances in float32: after kRenewAfter seconds they are known to a quarter of a
// microsecond, and another such event is due.
class CudaTimeline {
 public:
  // `trace` must outlive it.
  explicit CudaTimeline(TraceRecorder& trace) : trace_(trace) {}

  // Whether place() must be called before the next step that is recorded.
  bool is_due() const { return !placed_ || TraceRecorder::Clock::now() - placed_at_ > kRenewAfter; }
  // Waits for the stream's event. REQUIRES: nothing is under way in the stream, and nothing
  // recorded before is still to be added.
  void place(cudaStream_t stream);

  // From the end of `begin` to the end of `end`; a wait of no time is left out. REQUIRES: both have
  // ended, since place().
  void add(TraceEvent what, int64_t step, const Event& begin, const Event& end);

 private:
  static constexpr std::chrono::seconds kRenewAfter{4};
  int64_t nanoseconds_of(const Event& event) const;

  TraceRecorder& trace_;
  Event anchor_{Event::Timing::on};
  TraceRecorder::Clock::time_point placed_at_;  // when the anchor ended
  bool placed_ = false;
};

}  // namespace lockstep
