// How the flat gradient buffer is cut into buckets: the units that are reduced, flushed in reverse
// parameter order, the same on every worker.
#pragma once

#include <optional>
#include <vector>

#include "lockstep/parameters.h"

namespace lockstep {

// `bucket_bytes` of infinity: one bucket; 0: one a tensor; else buckets of at most so many bytes
// (at least 128), cut wherever they fill up, which may be inside a tensor. Descending, covering
// layout.all() exactly.
std::vector<Range> plan_buckets(const ParameterLayout& layout, double bucket_bytes);

// Which buckets of a plan are complete, given ready ranges that come in descending order.
class BucketCursor {
 public:
  // `plan` must outlive its use.
  void start(const std::vector<Range>& plan) {
    plan_ = &plan;
    next_ = 0;
  }
  const std::vector<Range>& plan() const { return *plan_; }
  // Everything from `low` up is final. Returns the next complete bucket, if one is.
  std::optional<Range> next_complete(size_t low) {
    if (next_ == plan_->size() || (*plan_)[next_].begin < low) return std::nullopt;
    return (*plan_)[next_++];
  }

 private:
  const std::vector<Range>* plan_ = nullptr;
  size_t next_ = 0;
};

}  // namespace lockstep
