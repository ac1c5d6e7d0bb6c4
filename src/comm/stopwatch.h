// Time stamps at phase ends: about 25 ns each.
#pragma once

#include <chrono>

namespace lockstep {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Adds the time of its own life to a sum of seconds.
class ScopedSeconds {
 public:
  explicit ScopedSeconds(double& sum) : sum_(sum), start_(Clock::now()) {}
  ScopedSeconds(const ScopedSeconds&) = delete;
  ScopedSeconds& operator=(const ScopedSeconds&) = delete;
  ~ScopedSeconds() { sum_ += seconds_between(start_, Clock::now()); }

 private:
  double& sum_;
  Clock::time_point start_;
};

}  // namespace lockstep
