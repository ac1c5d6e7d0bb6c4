// All-reduces between ranks by messages of MPI. Progress is made inside its calls alone.
#pragma once

#include <mpi.h>

#include <deque>
#include <map>
#include <vector>

#include "comm/mpi_group.h"
#include "comm/stopwatch.h"
#include "lockstep/buffer.h"
#include "lockstep/communicator.h"

namespace lockstep {

class MpiCommunicator final : public Communicator {
 public:
  // Collective. `group` must outlive it.
  MpiCommunicator(MpiGroup& group, AllReduceAlgorithm algorithm);
  // Where an error unwinds it, transfers may be under way: their buffers stay for the rest of the
  // process, which ends soon.
  ~MpiCommunicator() override;

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  void all_reduce(std::span<float> data) override;
  void progress() override;
  void wait() override;
  int64_t completed() const override { return completed_; }
  void broadcast(std::span<float> data, int root) override;
  void barrier() override;
  // Only this rank's calls throw then: other ranks end by ProcessGroup::abort().
  void abort() noexcept override { aborted_.store(true, std::memory_order_relaxed); }
  const CommunicationCounters& counters() const override { return counters_; }
  void reset_counters() override { counters_ = {}; }
  void record(TraceRecorder* trace) override { trace_ = trace; }

 private:
  // One all-reduce: what it waits for, and how many of its stages are done.
  struct Collective {
    std::span<float> data;
    int stage = 0;
    std::vector<MPI_Request> requests;
    Buffer<float> staging;
    Clock::time_point begin;  // where it is recorded
  };

  // The slices of buffers of one size: everybody's, and this rank's once for each rank, one behind
  // the other. MPI reads them as long as a collective is under way.
  struct Slices {
    std::vector<int> counts, offsets, own_counts, own_offsets;
  };

  int stages() const;
  void start_stage(Collective& collective);
  void start_direct(Collective& collective);
  void start_central(Collective& collective);
  void start_ring(Collective& collective);
  void finish_stage(Collective& collective);
  void finish_ring_stage(Collective& collective);
  void fold(const Collective& collective, std::span<float> to, size_t stride);
  // Completes what is complete, in order.
  bool advance();
  int64_t wire_bytes(size_t bytes) const;
  std::string place() const;
  // The oldest all-reduce, for the trace.
  TraceEvent oldest(TracePhase phase) const;
  void record_oldest();
  void count_flight_end();
  const Slices& slices_of(size_t size);
  // Staging of at least so many floats, one that an earlier all-reduce left if there is one.
  Buffer<float> take_staging(size_t floats);

  MpiGroup& group_;
  AllReduceAlgorithm algorithm_;
  // Stages of several all-reduces are under way at once, and MPI matches collectives by the order
  // of their calls on a communicator: each stage has one of its own.
  MpiComm first_, second_;
  WaitPolicy policy_;
  std::atomic<bool> aborted_{false};
  std::deque<Collective> pending_;
  int64_t completed_ = 0;
  int64_t step_ = -1;          // the group's, when the last all-reduce began
  int64_t first_of_step_ = 0;  // all-reduces before that step
  std::map<size_t, Slices> slices_;
  std::vector<Buffer<float>> staging_;  // in use by no all-reduce
  std::vector<const float*> sources_;
  CommunicationCounters counters_;
  Clock::time_point flight_start_;  // of the oldest all-reduce under way
  double in_calls_ = 0.0;           // since then, seconds spent in this object
  TraceRecorder* trace_ = nullptr;
  Clock::time_point recorded_to_;  // the end of the last all-reduce
};

}  // namespace lockstep
