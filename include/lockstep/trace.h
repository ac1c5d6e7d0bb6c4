// When each part of some training steps ran, on which worker and in which stream: what --trace
// writes, and what a TrainedModel holds where it was asked for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/parameters.h"

namespace lockstep {

// Steps [begin, end), counted from 0 since training began.
struct StepRange {
  int64_t begin = 0, end = 0;
  bool contains(int64_t step) const { return step >= begin && step < end; }
  bool empty() const { return begin >= end; }
  bool operator==(const StepRange&) const = default;
};

enum class TracePhase : uint8_t {
  step,                   // all of it, as the worker's thread goes through it
  data,                   // gather, conversion, normalisation
  forward,                // and loss
  propagate,              // forward, loss and the chain of input gradients, on the CPU in one
  backward,               // gradients of weights, slab by slab
  gradients,              // forward and backward that nothing divides
  fused,                  // forward, backward and update in kernels that do all of them
  update,                 // the optimizer
  communication,          // bytes on their way, or added up
  exposed_communication,  // waiting for them
  synchronization,        // waiting for other workers
  copy,                   // from the host's memory to a GPU's
};

enum class TraceTrack : uint8_t {
  worker,                // the worker's own thread
  messages,              // what it has under way between ranks
  compute_stream,        // of its GPU, as the others are
  communication_stream,  //
  copy_stream,           //
};

// Trivially copyable: ranks send theirs as bytes.
struct TraceEvent {
  int64_t begin = 0, end = 0;  // nanoseconds of the steady clock
  int64_t step = 0;
  int64_t bytes = -1;     // that it moves; -1: none
  Range parameters = {};  // of the flat buffers, in floats; empty: of none in particular
  int32_t bucket = -1;
  TracePhase phase = TracePhase::step;
  TraceTrack track = TraceTrack::worker;
};

// One worker's events, recorded on its own thread alone.
class TraceRecorder {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMostEvents = 200'000;  // about 13 MB: later steps are left out

  explicit TraceRecorder(StepRange steps) : steps_(steps) {}

  static int64_t nanoseconds(Clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  }

  void begin_step(int64_t step) {
    step_ = step;
    recording_ = steps_.contains(step);
    if (!recording_) return;
    cut_ = cut_ || events_.size() >= kMostEvents;
    recording_ = !cut_;
    step_begin_ = Clock::now();
    buckets_ = nullptr;
  }
  void end_step() {
    if (recording_) add({.phase = TracePhase::step}, step_begin_, Clock::now());
    recording_ = false;
  }
  bool recording() const { return recording_; }
  int64_t step() const { return step_; }
  bool cut() const { return cut_; }

  // The step's buckets, whose ranges events of a bucket are given. They must stay put in the step.
  void use_buckets(const std::vector<Range>& buckets) { buckets_ = &buckets; }

  // Of the step that is being recorded, else of none. What is shorter than a few time stamps is
  // left out, unless bytes moved in it.
  void add(TraceEvent event, Clock::time_point begin, Clock::time_point end) {
    constexpr std::chrono::nanoseconds kShort{100};
    if (!recording_ || (event.bytes < 0 && end - begin < kShort)) return;
    event.begin = nanoseconds(begin);
    event.end = nanoseconds(end);
    event.step = step_;
    const bool known = buckets_ && event.parameters.empty() && event.bucket >= 0 &&
                       static_cast<size_t>(event.bucket) < buckets_->size();
    if (known) event.parameters = (*buckets_)[static_cast<size_t>(event.bucket)];
    keep(event);
  }
  // Of a step that may be over.
  void keep(const TraceEvent& event) { events_.push_back(event); }

  std::vector<TraceEvent> take() { return std::move(events_); }

 private:
  StepRange steps_;
  std::vector<TraceEvent> events_;
  const std::vector<Range>* buckets_ = nullptr;
  Clock::time_point step_begin_;
  int64_t step_ = -1;
  bool recording_ = false;
  bool cut_ = false;
};

// What all workers of a training recorded.
struct Trace {
  struct Process {
    std::string host;
    int pid = 0;
    // Its clock shows so many nanoseconds more than rank 0's; events are corrected by it. 0, and no
    // error, on rank 0's own machine, whose processes have one clock.
    int64_t clock_ahead = 0;
    int64_t clock_error = 0;
    bool own_clock = false;  // not rank 0's
  };
  struct Worker {
    int process = 0;  // a rank
    int gpu = -1;     // of its machine; -1: a CPU
    std::vector<TraceEvent> events;
    bool cut = false;  // steps at the end are left out: too many events
  };
  StepRange steps;  // asked for
  std::vector<Process> processes;
  std::vector<Worker> workers;
  bool emulated = false;

  bool empty() const {
    for (const Worker& worker : workers) {
      if (!worker.events.empty()) return false;
    }
    return true;
  }
};

}  // namespace lockstep
