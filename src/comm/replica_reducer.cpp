#include "comm/gradient_reducer.h"

namespace lockstep {

ReplicaReducer::ReplicaReducer(Communicator& communicator, std::span<float> gradients,
                               std::vector<Range> plan, Overlap overlap, UpdateRange update)
    : communicator_(communicator),
      gradients_(gradients),
      plan_(std::move(plan)),
      cursor_(plan_),
      overlap_(overlap),
      update_(std::move(update)) {}

void ReplicaReducer::begin_step(int64_t) {
  cursor_.reset();
  first_collective_ = communicator_.completed();
  updated_ = 0;
  released_ = false;
}

void ReplicaReducer::ready(Range range) {
  if (overlap_ == Overlap::off) return;
  while (const auto bucket = cursor_.next_complete(range.begin)) {
    communicator_.all_reduce(gradients_.subspan(bucket->begin, bucket->size()));
  }
  communicator_.progress();
  if (released_) update_completed();
}

void ReplicaReducer::update_completed() {
  const auto completed = static_cast<size_t>(communicator_.completed() - first_collective_);
  while (updated_ < completed) update_(plan_[updated_++]);
}

void ReplicaReducer::finish() {
  while (const auto bucket = cursor_.next_complete(0)) {
    communicator_.all_reduce(gradients_.subspan(bucket->begin, bucket->size()));
    if (overlap_ == Overlap::off) communicator_.wait();
  }
  communicator_.wait();
  while (updated_ < plan_.size()) update_(plan_[updated_++]);
}

}  // namespace lockstep
