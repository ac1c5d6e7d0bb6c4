// Time stamps at phase ends: about 25 ns each.
#pragma once

#include <chrono>

#include "lockstep/trace.h"

namespace lockstep {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Adds the time of its own life to a sum of seconds, and to a worker's trace where there is one.
class ScopedSeconds {
 public:
  explicit ScopedSeconds(double& sum) : sum_(sum), start_(Clock::now()) {}
  // `what` it was, but for when.
  ScopedSeconds(double& sum, TraceRecorder* trace, const TraceEvent& what)
      : sum_(sum), trace_(trace), what_(what), start_(Clock::now()) {}
  ScopedSeconds(const ScopedSeconds&) = delete;
  ScopedSeconds& operator=(const ScopedSeconds&) = delete;
  ~ScopedSeconds() {
    const Clock::time_point end = Clock::now();
    sum_ += seconds_between(start_, end);
    if (trace_) trace_->add(what_, start_, end);
  }

 private:
  double& sum_;
  TraceRecorder* trace_ = nullptr;
  TraceEvent what_;
  Clock::time_point start_;
};

}  // namespace lockstep
