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
#include "train/job_memory.h"
#include "train/processors.h"
#include "train/rounded_data.h"
#include "train/run_trace.h"
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
  // Collective over the ranks.
  Run(const Resolved& resolved, const Dataset& dataset, const Model& model,
      const TrainObserver& observer, const std::atomic<int>* stop,
      const RankProcessors& usable_processors);

  const Resolved& resolved;
  const Config& config;
  const Dataset& dataset;  // as it was loaded: what a checkpoint describes and the end evaluates
  const Model& model;
  std::optional<Augmentation> augmentation;  // of the training part
  std::optional<RoundedData> rounded;        // where a training reads its features in bf16
  const TrainObserver& observer;
  ParameterLayout layout;  // of the buffers below and the workers'
  Sampler sampler;
  int64_t steps_per_epoch;
  Schedule schedule;
  ProcessGroup& processes;
  int first_worker;  // of this process: it keeps the process's books
  int local_workers;
  JobMemory memory;
  UpdateKind update;  // resolved.update, chosen for the model where that leaves it open
  ThreadGroup group;  // of the workers that share memory
  StopGate gate;
  std::unique_ptr<DeviceGroup> devices;  // where several GPUs train
  // By messages: ranks have agreed to stop before the coming step.
  std::atomic<bool> stop_agreed{false};
  // To pin threads to: those of this process's worker i are [i T, (i + 1) T) for T threads a
  // worker. Empty: the system places them.
  std::vector<int> processors;

  // The weights that all workers share (serial, sync with a sliced update), else those that every
  // worker starts from and, at checkpoints and at the end, the result.
  Floats values;
  Floats state;
  Buffer<SharedFloats> hogwild_values;  // touched by relaxed atomics alone; empty in other modes
  StateMerge state_merge;
  TrainingPosition start;  // where training begins: zero, or a resumed position

  // What a worker measured, of all workers once exchange() has run.
  struct Measured {
    BatchMetrics epoch_metrics;
    PhaseSeconds seconds;
    CommunicationTotals communication;
    std::optional<EpochStepSetUp> set_up;
  };
  // One entry a worker, written by it before a barrier, read by its process's first worker after
  // it. What is not `measured` is there for the workers of this process alone.
  struct alignas(128) Slot {
    Measured measured;
    Clock::time_point epoch_start;
    std::span<const float> values;
    std::span<const float> state;
    FactorStep* factors = nullptr;  // --update factors: the worker's step
  };
  std::vector<Slot> slots;
  std::vector<BatchMetrics> eval_blocks;  // one a block of the test part

  size_t bucket_index = 0;    // --bucket-mb auto: worker 0's choice, between two meetings
  double bucket_bytes = 0.0;  // in use at the end

  std::vector<ProductChoice> products;  // of the first worker's step

  std::unique_ptr<RunTrace> trace;  // null: nothing is recorded

  // Each process's first worker alone, or everybody between two meetings.
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

  // Where `rank` stands in `group` and `gate`.
  int place(int rank) const {
    return memory.reach() == Reach::machine ? rank : rank - first_worker;
  }
  bool by_messages() const { return memory.reach() == Reach::messages; }
  bool stopped() const { return gate.stopped() || stop_agreed.load(std::memory_order_relaxed); }

  // By messages: whether this process has been asked to stop, which all must agree on.
  bool stop_by_vote() const { return by_messages() && gate.stop_requested(); }

  AllReduceAlgorithm allreduce() const;
  // All-reduces of worker `rank` with all others. Collective.
  std::unique_ptr<Communicator> communicator(int rank);

  // All workers of all ranks meet.
  void meet(int rank);
  // Each process's first worker: everybody's `measured`, `eval_blocks` and the longest `seconds`.
  void exchange(double& seconds);
  // The sum over all workers' states, in their order, divided.
  void merge_states(float divisor);
  // Whether this process writes what all share: checkpoints, weights in shared memory.
  bool writes() const { return processes.rank() == 0; }

  Overlap overlap() const { return config.overlap == Toggle::on ? Overlap::on : Overlap::off; }

  // `stored` in the logical order of checkpoints.
  Buffer<float> logical(std::span<const float> stored) const;

  bool shares_weights() const {
    return resolved.strategy == Strategy::serial ||
           (resolved.strategy == Strategy::sync && update != UpdateKind::replicas);
  }
};

}  // namespace lockstep
