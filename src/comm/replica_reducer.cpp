#include "comm/gradient_reducer.h"

namespace lockstep {

ReplicaReducer::ReplicaReducer(Communicator& communicator, std::span<float> gradients,
                               Overlap overlap, UpdateRange update)
    : communicator_(communicator),
      gradients_(gradients),
      overlap_(overlap),
      update_(std::move(update)) {}

namespace {

// A count in float32 digits whose sums over thousands of workers are exact.
constexpr int kDigits = 4;
constexpr int64_t kBase = 4096;

}  // namespace

void ReplicaReducer::begin_step(const std::vector<Range>& plan, const StepTail& own) {
  cursor_.start(plan);
  if (trace_) trace_->use_buckets(plan);
  int64_t rest = own.samples;
  for (int digit = 0; digit < kDigits; ++digit) {
    tail()[digit] = static_cast<float>(rest % kBase);
    rest /= kBase;
  }
  tail()[kDigits] = own.stop ? 1.0f : 0.0f;
  first_collective_ = communicator_.completed();
  updated_ = 0;
  released_ = false;
}

std::optional<StepTail> ReplicaReducer::total() const {
  StepTail total;
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    total.samples = total.samples * kBase + static_cast<int64_t>(tail()[digit]);
  }
  total.stop = tail()[kDigits] > 0.0f;
  return total;
}

void ReplicaReducer::record(TraceRecorder* trace) {
  GradientReducer::record(trace);
  communicator_.record(trace);
}

void ReplicaReducer::reduce(Range bucket) {
  const size_t end = gradients_.size() - kPadFloats;
  const size_t size = bucket.size() + (bucket.end == end ? kPadFloats : 0);
  communicator_.all_reduce(gradients_.subspan(bucket.begin, size));
}

void ReplicaReducer::ready(Range range) {
  if (overlap_ == Overlap::off) return;
  while (const auto bucket = cursor_.next_complete(range.begin)) {
    reduce(*bucket);
  }
  communicator_.progress();
  if (released_) update_completed();
}

void ReplicaReducer::update_completed() {
  const auto completed = static_cast<size_t>(communicator_.completed() - first_collective_);
  while (updated_ < completed) update_(cursor_.plan()[updated_++]);
}

void ReplicaReducer::finish() {
  while (const auto bucket = cursor_.next_complete(0)) {
    reduce(*bucket);
    if (overlap_ == Overlap::off) communicator_.wait();
  }
  communicator_.wait();
  while (updated_ < cursor_.plan().size()) update_(cursor_.plan()[updated_++]);
}

}  // namespace lockstep
