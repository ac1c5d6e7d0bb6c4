// What the workers of one training share.
#pragma once

#include <atomic>
#include <vector>

#include "backend/relaxed_ops.h"
#include "comm/device_group.h"
#include "comm/gradient_reducer.h"
#include "comm/stopwatch.h"
#include "comm/thread_group.h"
#include "lockstep/trainer.h"
#include "train/epoch_book.h"
#include "train/rounded_data.h"
#include "train/stop_gate.h"

namespace lockstep {

// How the optimizer states of the workers make the one state that a checkpoint holds.
enum class StateMerge {
  shared,  // there is only one
  first,   // all workers hold the same
  mean,    // local SGD with private states
  sum,     // Hogwild: each worker's momentum is its share of the serial one
};

// Whether the workers' steps have factors to exchange: logistic regression's one-pass step has
// none, bf16 steps give none away, the threads of a worker exchange theirs already, and GPUs have
// none.
bool has_factors(const Resolved& resolved, const Model& model);

// Whether a worker has a buffer for its gradients: some strategies train() alone or exchange
// factors, and then most steps keep none.
bool keeps_gradients(const Resolved& resolved, const Model& model);

struct Run {
  Run(const Resolved& resolved, const Dataset& dataset, const Model& model,
      const TrainObserver& observer, const std::atomic<int>* stop,
      const std::vector<int>& usable_processors);

  const Resolved& resolved;
  const Config& config;
  const Dataset& dataset;  // as it was loaded: what a checkpoint describes and the end evaluates
  const Model& model;
  std::optional<RoundedData> rounded;  // where a training reads its features in bf16
  const TrainObserver& observer;
  ParameterLayout layout;  // of the buffers below and the workers'
  Sampler sampler;
  int64_t steps_per_epoch;
  Schedule schedule;
  ThreadGroup group;
  StopGate gate;
  std::unique_ptr<DeviceGroup> devices;  // where several GPUs train
  // To pin threads to: those of worker r are [r T, (r + 1) T) for T threads a worker. Empty: the
  // system places them.
  std::vector<int> processors;

  // The weights that all workers share (serial, sync with a sliced update), else those that every
  // worker starts from and, at checkpoints and at the end, the result.
  Buffer<float> values;
  Buffer<float> state;
  Buffer<SharedFloats> hogwild_values;  // touched by relaxed atomics alone; empty in other modes
  UpdateKind update;  // resolved.update, chosen for the model where that leaves it open
  StateMerge state_merge;
  TrainingPosition start;  // where training begins: zero, or a resumed position

  // One entry a worker, written by it before a barrier, read by worker 0 after it.
  struct alignas(128) Slot {
    BatchMetrics epoch_metrics;
    Clock::time_point epoch_start;
    std::span<const float> values;
    std::span<const float> state;
    FactorStep* factors = nullptr;  // --update factors: the worker's step
    PhaseSeconds seconds;
    CommunicationTotals communication;
    std::optional<EpochStepSetUp> set_up;
  };
  std::vector<Slot> slots;
  std::vector<BatchMetrics> eval_blocks;  // one a block of the test part

  size_t bucket_index = 0;    // --bucket-mb auto: worker 0's choice, between two barriers
  double bucket_bytes = 0.0;  // in use at the end

  std::vector<ProductChoice> products;  // of worker 0's step

  // Worker 0 alone, or everybody between two barriers.
  EpochBook book;
  std::vector<float> step_seconds;
  TrainingPosition reached;      // where training stood at the end of the last epoch begun
  Clock::time_point created;     // when train() was called
  double startup_seconds = 0.0;  // from there to the first epoch
  double eval_seconds = 0.0;
  double trained_seconds = 0.0;      // of this run alone, without what it resumed
  double interrupted_seconds = 0.0;  // of an epoch that was not finished

  static constexpr int64_t kEvalBlock = 512;  // samples: fixed, so that sums do not depend on W

  // What steps read.
  const Split& train_part() const { return rounded ? rounded->train : dataset.train; }
  const Split& test_part() const { return rounded ? *rounded->test : *dataset.test; }
  const Normalization& normalization() const {
    static const Normalization kNone;
    return rounded ? kNone : dataset.normalization;
  }

  Overlap overlap() const { return config.overlap == Toggle::on ? Overlap::on : Overlap::off; }

  // `stored` in the logical order of checkpoints.
  Buffer<float> logical(std::span<const float> stored) const;

  bool shares_weights() const {
    return resolved.strategy == Strategy::serial ||
           (resolved.strategy == Strategy::sync && update != UpdateKind::replicas);
  }
};

}  // namespace lockstep
