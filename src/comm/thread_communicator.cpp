#include "comm/thread_communicator.h"

#include <algorithm>

#include "backend/vector_ops.h"
#include "comm/ring.h"
#include "comm/stopwatch.h"

namespace lockstep {

using Progress = ThreadGroup::Progress;

ThreadCommunicator::ThreadCommunicator(ThreadGroup& group, int rank, AllReduceAlgorithm algorithm)
    : group_(group), rank_(rank), algorithm_(algorithm), sources_(group.size()) {}

// Stages of one collective: fold and gather, or the ring's.
int ThreadCommunicator::stages() const {
  return algorithm_ == AllReduceAlgorithm::ring ? ring::stages(size()) : 2;
}

int64_t ThreadCommunicator::wire_bytes(size_t bytes) const {
  const int64_t others = size() - 1;
  const auto payload = static_cast<int64_t>(bytes);
  if (algorithm_ == AllReduceAlgorithm::central) return rank_ == 0 ? others * payload : payload;
  return 2 * others * payload / size();
}

void ThreadCommunicator::all_reduce(std::span<float> data) {
  ++counters_.calls;
  counters_.bytes += static_cast<int64_t>(data.size_bytes());
  if (size() == 1) return;
  counters_.wire_bytes += wire_bytes(data.size_bytes());
  // A slot of the window is free once every worker has finished the collective that used it.
  if (posted_ - finished_ >= ThreadGroup::kWindow / 2) wait();
  if (step_ != group_.step(rank_)) {
    step_ = group_.step(rank_);
    first_of_step_ = posted_;
  }
  group_.post_data(rank_, posted_, data.data());
  pending_.push_back(data);
  group_.progress(rank_).posted.store(++posted_, std::memory_order_release);
  progress();
}

void ThreadCommunicator::progress() {
  while (!pending_.empty() && advance()) {
  }
}

void ThreadCommunicator::wait() {
  while (!pending_.empty()) {
    if (step_ >= 0) group_.begin_bucket(rank_, static_cast<int64_t>(finished_ - first_of_step_));
    // The predicate moves bytes as soon as it can: what it spends on that is not waiting.
    const double moving_before = counters_.communication;
    const Clock::time_point start = Clock::now();
    wait_until(
        group_.policy(), [&] { return advance(); },
        [&](double waited, const std::string& reason) {
          group_.give_up(rank_, "in an all-reduce", missing(), waited, reason);
        });
    const double moving = counters_.communication - moving_before;
    const Clock::time_point end = Clock::now();
    counters_.synchronization += seconds_between(start, end) - moving;
    if (trace_) trace_->add({.phase = TracePhase::synchronization}, start, end);
  }
  ScopedSeconds waiting(counters_.synchronization, trace_, {.phase = TracePhase::synchronization});
  group_.wait_all(rank_, &Progress::done, posted_, "at the end of an all-reduce");
}

// What the oldest collective does with so many floats, for the trace.
TraceEvent ThreadCommunicator::moves(size_t floats) const {
  return {.bytes = static_cast<int64_t>(floats * sizeof(float)),
          .bucket = step_ < 0 ? -1 : static_cast<int32_t>(finished_ - first_of_step_),
          .phase = TracePhase::communication};
}

// Whom the oldest collective waits for: those who have not come to it, else those who are behind.
std::string ThreadCommunicator::missing() const {
  const std::string absent = group_.behind(&Progress::posted, finished_ + 1);
  return absent.empty() ? group_.behind(&Progress::stage, finished_ * stages() + stage_) : absent;
}

bool ThreadCommunicator::advance() {
  std::span<float> data = pending_.front();
  const bool moved = algorithm_ == AllReduceAlgorithm::ring      ? advance_ring(data)
                     : algorithm_ == AllReduceAlgorithm::central ? advance_central(data)
                                                                 : advance_direct(data);
  if (!moved) return false;
  ++stage_;
  const uint64_t total = finished_ * stages() + stage_;
  group_.progress(rank_).stage.store(total, std::memory_order_release);
  if (stage_ == stages()) finish_oldest();
  return true;
}

void ThreadCommunicator::finish_oldest() {
  pending_.pop_front();
  stage_ = 0;
  group_.progress(rank_).done.store(++finished_, std::memory_order_release);
}

bool ThreadCommunicator::stage_of(int rank, uint64_t stage) const {
  const uint64_t reached = group_.progress(rank).stage.load(std::memory_order_acquire);
  return reached >= finished_ * stages() + stage;
}

bool ThreadCommunicator::stage_of_all(uint64_t stage) const {
  return group_.all_at_least(&Progress::stage, finished_ * stages() + stage);
}

std::span<const float* const> ThreadCommunicator::sources(size_t offset) {
  for (int rank = 0; rank < size(); ++rank) {
    sources_[rank] = group_.data(rank, finished_) + offset;
  }
  return sources_;
}

// Stage 0: the owner of a slice folds it in rank order. Stage 1: all take the others' slices.
bool ThreadCommunicator::advance_direct(std::span<float> data) {
  if (stage_ == 0) {
    if (!group_.all_at_least(&Progress::posted, finished_ + 1)) return false;
    const Range own = slice_of({0, data.size()}, rank_, size());
    ScopedSeconds moving(counters_.communication, trace_, moves(own.size()));
    sum_in_order(data.subspan(own.begin, own.size()), sources(own.begin));
    return true;
  }
  if (!stage_of_all(1)) return false;
  ScopedSeconds moving(counters_.communication, trace_, moves(data.size()));
  for (int rank = 0; rank < size(); ++rank) {
    if (rank == rank_) continue;
    const Range part = slice_of({0, data.size()}, rank, size());
    std::copy_n(group_.data(rank, finished_) + part.begin, part.size(), data.data() + part.begin);
  }
  return true;
}

bool ThreadCommunicator::advance_ring(std::span<float> data) {
  const int left = ring::left(rank_, size());
  const int right = ring::right(rank_, size());
  const bool posted =
      stage_ > 0 || group_.progress(left).posted.load(std::memory_order_acquire) > finished_;
  if (!posted || !stage_of(left, ring::needs_left(stage_)) ||
      !stage_of(right, ring::needs_right(stage_, size()))) {
    return false;
  }
  const Range part = slice_of({0, data.size()}, ring::chunk(rank_, stage_, size()), size());
  ScopedSeconds moving(counters_.communication, trace_, moves(part.size()));
  const float* from = group_.data(left, finished_) + part.begin;
  const std::span<float> to = data.subspan(part.begin, part.size());
  if (ring::adds(stage_, size())) {
    add(to, {from, part.size()});
  } else {
    std::copy_n(from, part.size(), to.data());
  }
  return true;
}

// Stage 0: rank 0 sums everything. Stage 1: the others copy it from there.
bool ThreadCommunicator::advance_central(std::span<float> data) {
  if (stage_ == 0) {
    if (rank_ != 0) return true;
    if (!group_.all_at_least(&Progress::posted, finished_ + 1)) return false;
    ScopedSeconds moving(counters_.communication, trace_, moves(data.size()));
    sum_in_order(data, sources(0));
    return true;
  }
  if (rank_ == 0) return true;
  if (!stage_of(0, 1)) return false;
  ScopedSeconds moving(counters_.communication, trace_, moves(data.size()));
  std::copy_n(group_.data(0, finished_), data.size(), data.data());
  return true;
}

void ThreadCommunicator::broadcast(std::span<float> data, int root) {
  ++counters_.calls;
  counters_.bytes += rank_ == root ? static_cast<int64_t>(data.size_bytes()) : 0;
  wait();
  if (rank_ == root) group_.post_data(root, posted_, data.data());
  barrier();
  if (rank_ != root) {
    ScopedSeconds moving(counters_.communication);
    std::copy_n(group_.data(root, posted_), data.size(), data.data());
  }
  barrier();
}

void ThreadCommunicator::barrier() {
  ScopedSeconds waiting(counters_.synchronization, trace_, {.phase = TracePhase::synchronization});
  group_.barrier(rank_);
}

}  // namespace lockstep
