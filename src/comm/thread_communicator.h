// Collectives between workers that share memory, over their own buffers: nothing is staged or
// copied more often than the algorithm needs. No helper threads: progress is made by the callers.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "comm/thread_group.h"
#include "lockstep/communicator.h"

namespace lockstep {

class ThreadCommunicator final : public Communicator {
 public:
  // `group` must outlive it.
  ThreadCommunicator(ThreadGroup& group, int rank, AllReduceAlgorithm algorithm);

  int rank() const override { return rank_; }
  int size() const override { return group_.size(); }
  void all_reduce(std::span<float> data) override;
  void progress() override;
  void wait() override;
  int64_t completed() const override { return static_cast<int64_t>(finished_); }
  void broadcast(std::span<float> data, int root) override;
  void barrier() override;
  void abort() noexcept override { group_.abort(); }
  const CommunicationCounters& counters() const override { return counters_; }
  void reset_counters() override { counters_ = {}; }
  void record(TraceRecorder* trace) override { trace_ = trace; }

 private:
  // One step of the oldest collective, where its peers are far enough. False: nothing to be done
  // now.
  bool advance();
  bool advance_direct(std::span<float> data);
  bool advance_ring(std::span<float> data);
  bool advance_central(std::span<float> data);
  void finish_oldest();
  std::string missing() const;
  // Every worker's buffer of the oldest collective, from `offset` on, in rank order.
  std::span<const float* const> sources(size_t offset);
  bool stage_of_all(uint64_t stage) const;
  bool stage_of(int rank, uint64_t stage) const;
  int64_t wire_bytes(size_t bytes) const;
  int stages() const;
  TraceEvent moves(size_t floats) const;

  ThreadGroup& group_;
  int rank_;
  AllReduceAlgorithm algorithm_;
  std::deque<std::span<float>> pending_;  // collectives finished_ .. posted_ - 1
  uint64_t posted_ = 0;
  int64_t step_ = -1;           // the group's, when the last collective was posted
  uint64_t first_of_step_ = 0;  // posted_ when it began
  uint64_t finished_ = 0;
  int stage_ = 0;  // stages done of the oldest pending collective
  std::vector<const float*> sources_;
  CommunicationCounters counters_;
  TraceRecorder* trace_ = nullptr;
};

}  // namespace lockstep
