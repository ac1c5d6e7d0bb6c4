#include "train/bucket_tuner.h"

#include <algorithm>
#include <limits>

#include "comm/bucket_plan.h"

namespace lockstep {

namespace {

constexpr int64_t kWarmUp = 4;  // steps before anything is timed
constexpr int64_t kTrials = 8;  // steps of each candidate, taken in turn
constexpr double kDefaultBytes = 256.0 * 1024.0;

}  // namespace

BucketTuner::BucketTuner(const ParameterLayout& layout, std::optional<double> bucket_bytes,
                         int64_t steps) {
  std::vector<double> sizes = {std::numeric_limits<double>::infinity()};
  const double all = 4.0 * static_cast<double>(layout.size());
  for (const double bytes : {1024.0 * 1024.0, kDefaultBytes, 64.0 * 1024.0}) {
    if (bytes < all) sizes.push_back(bytes);
  }
  const auto needed = kWarmUp + kTrials * static_cast<int64_t>(sizes.size());
  if (bucket_bytes) {
    sizes = {*bucket_bytes};
  } else if (steps < 4 * needed) {
    sizes = {kDefaultBytes};
  }
  for (const double bytes : sizes) candidates_.push_back({bytes, plan_buckets(layout, bytes), {}});
  if (sizes.size() > 1) tuning_steps_ = needed;
}

bool BucketTuner::step_done(double seconds) {
  if (steps_ >= tuning_steps_) return false;
  if (steps_ >= kWarmUp) candidates_[current_].seconds.push_back(seconds);
  ++steps_;
  if (steps_ >= kWarmUp) current_ = (current_ + 1) % candidates_.size();
  return steps_ == tuning_steps_;
}

size_t BucketTuner::fastest() const {
  const auto median = [](std::vector<double> seconds) {
    const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
    std::nth_element(seconds.begin(), middle, seconds.end());
    return *middle;
  };
  const auto best = std::min_element(candidates_.begin(), candidates_.end(),
                                     [&](const Candidate& a, const Candidate& b) {
                                       return median(a.seconds) < median(b.seconds);
                                     });
  return static_cast<size_t>(best - candidates_.begin());
}

}  // namespace lockstep
