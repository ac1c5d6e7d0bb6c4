#include "comm/gradient_reducer.h"

namespace lockstep {

ReplicaReducer::ReplicaReducer(Communicator& communicator, std::span<float> gradients,
                               Overlap overlap, UpdateRange update)
    : communicator_(communicator),
      gradients_(gradients),
      overlap_(overlap),
      update_(std::move(update)) {}

void ReplicaReducer::begin_step(const std::vector<Range>& plan) {
  cursor_.start(plan);
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
  while (updated_ < completed) update_(cursor_.plan()[updated_++]);
}

void ReplicaReducer::finish() {
  while (const auto bucket = cursor_.next_complete(0)) {
    communicator_.all_reduce(gradients_.subspan(bucket->begin, bucket->size()));
    if (overlap_ == Overlap::off) communicator_.wait();
  }
  communicator_.wait();
  while (updated_ < cursor_.plan().size()) update_(cursor_.plan()[updated_++]);
}

}  // namespace lockstep
