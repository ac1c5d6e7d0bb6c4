// What a GPU's training step has to do with those of other workers: the step that they do together,
// or the averages between steps that each does alone, and waiting for the device without hanging
// where a peer is gone.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "backend/cuda_feed.h"
#include "backend/cuda_report.h"
#include "backend/cuda_shared_step.h"

namespace lockstep {

// Steps that the host queues before the first of them has ended: fewer than the report has room
// for.
inline constexpr unsigned kStepsAhead = 64;
static_assert(kStepsAhead < StepReport::kRecords);

class CudaPeers final : public SharedEpochStep {
 public:
  // `step`: the one that all do together; null where each has its own. All must outlive it.
  // `wait_for_room` returns when the next step may be queued: kStepsAhead before it has ended.
  CudaPeers(CudaModel& model, const EpochJob& job, CudaSharedStep* step,
            const DeviceArray<StepState>& state, CudaReport& report, CudaFeed& feed,
            std::function<void()> wait_for_room, cudaStream_t stream);
  ~CudaPeers() override;

  // An epoch's first step. REQUIRES: nothing is under way.
  void begin_epoch(int64_t step) {
    epoch_step_ = step;
    queued(step);
  }
  // So many steps are queued since training began.
  void queued(int64_t steps) {
    queued_.store(static_cast<unsigned>(steps), std::memory_order_relaxed);
  }

  // Throws where a peer stopped the run or communication failed. wait() returns when all that is
  // queued has ended; both look while they wait.
  void check() const { communicator_.check(); }
  void wait();

  // Adds the phases of averages, scaled to all of them. REQUIRES: nothing is under way.
  void read_average();
  // Averages from here on are recorded, where the step is. Both must outlive it.
  void record(TraceRecorder& trace, CudaTimeline& timeline) {
    trace_ = &trace;
    timeline_ = &timeline;
  }
  StepSeconds average_seconds() const;

  void use_buckets(const std::vector<Range>& buckets) override;
  double try_step() override;
  void average(float weight, AverageState state) override;
  void keep_replica() override;
  void restore_replica() override;
  void vote_to_stop() override { report_.vote_to_stop(); }
  bool stops_before(int64_t step) override;
  CommunicationCounters counters() const override { return step_ ? step_->counters() : counters_; }

 private:
  void count(const std::vector<WireSpan>& spans);

  CudaModel& model_;
  EpochJob job_;
  DeviceCommunicator& communicator_;
  cudaStream_t stream_;
  CudaFeed& feed_;
  CudaSharedStep* step_;
  const DeviceArray<StepState>& state_;
  CudaReport& report_;
  std::function<void()> wait_for_room_;
  int64_t epoch_step_ = 0;

  // Averages. One at a time is marked, and read when the device has caught up.
  Event ready_, averaged_;
  CudaPhases waiting_marks_, moving_marks_;
  bool marked_ = false;
  int64_t recorded_step_ = -1;  // of the marked one; -1: it is not recorded
  TraceRecorder* trace_ = nullptr;
  CudaTimeline* timeline_ = nullptr;
  int64_t averages_ = 0, measured_ = 0;
  CommunicationCounters counters_;
  StepSeconds seconds_;
  DeviceArray<float> kept_values_, kept_states_;

  std::atomic<unsigned> queued_{0}, buckets_{1};
  std::atomic<bool> waiting_{false};
};

}  // namespace lockstep
