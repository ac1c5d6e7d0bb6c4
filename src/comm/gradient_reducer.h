// Turns "these gradients are final" into collectives that run while backward goes on.
//
// Two reducers, one protocol: begin_step(), then the calls of GradientListener from inside
// Step::gradients(), then finish(). Both fold in rank order where the algorithm does, so that with
// `direct` the sum is ((g0 + g1) + g2) + ... per element, whatever the buckets.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "comm/bucket_plan.h"
#include "comm/thread_group.h"
#include "lockstep/backend.h"
#include "lockstep/communicator.h"

namespace lockstep {

enum class Overlap { off, on };

// Applies the optimizer to a range whose gradient is reduced.
using UpdateRange = std::function<void(Range)>;

// What is reduced together with the gradients.
struct StepTail {
  int64_t samples = 0;  // of this worker's share
  bool stop = false;    // this worker has been asked to stop
};

class GradientReducer : public GradientListener {
 public:
  // `plan` cuts the whole buffer into buckets; every worker passes the same one. It must stay put
  // until finish().
  virtual void begin_step(const std::vector<Range>& plan, const StepTail& own) = 0;
  // Returns when every range is reduced and updated, and gradients may be overwritten.
  virtual void finish() = 0;
  // Where the workers reduce their tails too: the sum of all samples, and whether any worker has
  // been asked to stop. REQUIRES: finish() has returned.
  virtual std::optional<StepTail> total() const { return std::nullopt; }
  // Before the first step: what it does goes into the worker's trace as well.
  virtual void record(TraceRecorder* trace) { trace_ = trace; }

 protected:
  TraceRecorder* trace_ = nullptr;
};

// Replicas: every worker all-reduces each bucket and updates all of its own parameters. The first
// bucket takes the workers' tails along.
class ReplicaReducer final : public GradientReducer {
 public:
  // `gradients` is the worker's own flat buffer and, behind it, kPadFloats for its tail. All
  // references must outlive it.
  ReplicaReducer(Communicator& communicator, std::span<float> gradients, Overlap overlap,
                 UpdateRange update);

  void begin_step(const std::vector<Range>& plan, const StepTail& own) override;
  void released() override { released_ = true; }
  void ready(Range range) override;
  void finish() override;
  std::optional<StepTail> total() const override;
  void record(TraceRecorder* trace) override;

 private:
  void update_completed();
  void reduce(Range bucket);
  std::span<float> tail() const { return gradients_.last(kPadFloats); }

  Communicator& communicator_;
  std::span<float> gradients_;
  BucketCursor cursor_;
  Overlap overlap_;
  UpdateRange update_;
  int64_t first_collective_ = 0;  // collectives completed before this step
  size_t updated_ = 0;            // buckets of this step
  bool released_ = false;
};

// Shared weights: worker r folds slice r of each bucket from everybody's gradients and updates the
// one set of weights there. No all-gather: the weights are everybody's already. A slice is updated
// once its gradients are in and every worker has left the chain that reads weights.
class SlicedReducer final : public GradientReducer {
 public:
  SlicedReducer(ThreadGroup& group, int rank, std::span<float> gradients, Overlap overlap,
                UpdateRange update);

  void begin_step(const std::vector<Range>& plan, const StepTail& own) override;
  void released() override;
  void ready(Range range) override;
  void finish() override;
  const CommunicationCounters& counters() const { return counters_; }

 private:
  void post(Range bucket);
  bool may_fold() const;
  void fold_oldest();

  ThreadGroup& group_;
  int rank_;
  std::span<float> gradients_;
  BucketCursor cursor_;
  Overlap overlap_;
  UpdateRange update_;
  std::vector<const float*> sources_;
  int64_t step_ = 0;
  uint64_t posted_ = 0;  // buckets since the start
  uint64_t folded_ = 0;
  uint64_t first_ = 0;  // posted_ at the start of this step
  CommunicationCounters counters_;
};

}  // namespace lockstep
