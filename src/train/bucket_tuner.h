// `--bucket-mb auto`: tries a few bucket sizes on the first steps of a run and keeps the fastest.
//
// Which size is best depends on the model, the number of workers and the machine, and DDP's 25 MB
// never overlaps anything on models this small. Results do not depend on it where gradients are
// folded in rank order. One tuner a worker; all choose alike, by worker 0's clock.
#pragma once

#include <optional>
#include <vector>

#include "lockstep/parameters.h"

namespace lockstep {

class BucketTuner {
 public:
  // A given `bucket_bytes` leaves nothing to tune; nor does a run of few `steps`.
  BucketTuner(const ParameterLayout& layout, std::optional<double> bucket_bytes, int64_t steps);

  // The plan of the coming step.
  const std::vector<Range>& plan() const { return candidates_[current_].plan; }
  double bytes() const { return candidates_[current_].bytes; }

  // For who measures on its own, one candidate after the other: how many there are, and the time of
  // a step of the one that settle() chose last.
  size_t candidates() const { return candidates_.size(); }
  void record(double seconds) { candidates_[current_].seconds.push_back(seconds); }

  // After a step that took `seconds` here. True once: every worker then meets at a barrier, takes
  // over worker 0's fastest() and calls settle() with it.
  bool step_done(double seconds);
  size_t fastest() const;
  void settle(size_t index) { current_ = index; }

 private:
  struct Candidate {
    double bytes = 0.0;
    std::vector<Range> plan;
    std::vector<double> seconds;
  };

  std::vector<Candidate> candidates_;
  size_t current_ = 0;
  int64_t steps_ = 0;         // done while tuning
  int64_t tuning_steps_ = 0;  // 0: nothing to tune
};

}  // namespace lockstep
