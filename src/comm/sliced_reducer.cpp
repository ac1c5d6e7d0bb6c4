#include "backend/vector_ops.h"
#include "comm/gradient_reducer.h"
#include "comm/stopwatch.h"

namespace lockstep {

using Progress = ThreadGroup::Progress;

SlicedReducer::SlicedReducer(ThreadGroup& group, int rank, std::span<float> gradients,
                             Overlap overlap, UpdateRange update)
    : group_(group),
      rank_(rank),
      gradients_(gradients),
      overlap_(overlap),
      update_(std::move(update)),
      sources_(group.size()) {
  group_.post_data(rank_, 0, gradients_.data());  // the same buffer in every step: posted once
}

void SlicedReducer::begin_step(const std::vector<Range>& plan, const StepTail&) {
  cursor_.start(plan);
  if (trace_) trace_->use_buckets(plan);
  first_ = posted_;
  ++step_;
}

void SlicedReducer::released() {
  group_.progress(rank_).released.store(static_cast<uint64_t>(step_), std::memory_order_release);
}

void SlicedReducer::post(Range bucket) {
  ++counters_.calls;
  counters_.bytes += static_cast<int64_t>(bucket.size() * sizeof(float));
  counters_.wire_bytes +=
      static_cast<int64_t>(bucket.size() * sizeof(float)) * (group_.size() - 1) / group_.size();
  group_.progress(rank_).posted.store(++posted_, std::memory_order_release);
}

void SlicedReducer::ready(Range range) {
  if (overlap_ == Overlap::off) return;
  while (const auto bucket = cursor_.next_complete(range.begin)) post(*bucket);
  while (folded_ < posted_ && may_fold()) fold_oldest();
}

bool SlicedReducer::may_fold() const {
  return group_.all_at_least(&Progress::posted, folded_ + 1) &&
         group_.all_at_least(&Progress::released, static_cast<uint64_t>(step_));
}

void SlicedReducer::fold_oldest() {
  const Range slice = slice_of(cursor_.plan()[folded_ - first_], rank_, group_.size());
  {
    ScopedSeconds moving(counters_.communication, trace_,
                         {.bytes = static_cast<int64_t>(slice.size() * sizeof(float)),
                          .parameters = slice,
                          .bucket = static_cast<int32_t>(folded_ - first_),
                          .phase = TracePhase::communication});
    for (int rank = 0; rank < group_.size(); ++rank) {
      sources_[rank] = group_.data(rank, 0) + slice.begin;
    }
    sum_in_order(gradients_.subspan(slice.begin, slice.size()), sources_);
  }
  update_(slice);
  group_.progress(rank_).done.store(++folded_, std::memory_order_release);
}

void SlicedReducer::finish() {
  while (const auto bucket = cursor_.next_complete(0)) post(*bucket);
  while (folded_ < posted_) {
    {
      const auto bucket = static_cast<int32_t>(folded_ - first_);
      ScopedSeconds waiting(counters_.synchronization, trace_,
                            {.bucket = bucket, .phase = TracePhase::synchronization});
      group_.begin_bucket(rank_, bucket);
      group_.wait_all(rank_, &Progress::posted, folded_ + 1, "for a bucket of gradients");
      group_.wait_all(rank_, &Progress::released, static_cast<uint64_t>(step_),
                      "for the end of the backward pass");
    }
    fold_oldest();
  }
  // Weights are whole, and nobody reads these gradients any more.
  ScopedSeconds waiting(counters_.synchronization, trace_, {.phase = TracePhase::synchronization});
  group_.wait_all(rank_, &Progress::done, posted_, "for the update of the shared weights");
}

}  // namespace lockstep
