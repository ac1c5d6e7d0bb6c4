// One worker of a training: its step, its memory, and the walk over epochs and global batches that
// every strategy shares. A strategy reads:
//
//   while (worker.begin_epoch()) {
//     while (const GlobalBatch* batch = worker.next_batch()) { ... worker.count(metrics); }
//     worker.end_epoch();
//   }
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "comm/stopwatch.h"
#include "lockstep/backend.h"
#include "lockstep/communicator.h"
#include "train/run.h"

namespace lockstep {

// Global batch k of an epoch, as one worker sees it.
struct GlobalBatch {
  Batch share;              // this worker's samples; may be empty
  int64_t count = 0;        // samples of the global batch
  int64_t global_step = 0;  // since the start of training
  bool last_in_epoch = false;
  bool checkpoint_due = false;  // a checkpoint follows this batch
  double learning_rate = 0.0;
};

// Whose memory a worker's step works on.
enum class Weights { shared, own };
enum class State { shared, own, none };

class Worker {
 public:
  // Called on the worker's own thread, which touches its memory first. Compiles the step.
  Worker(Run& run, int rank, Weights weights, State state);

  // Waits until no peer reads this worker's memory; where an error unwinds it, peers are told
  // first.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Of all workers, across all ranks.
  int rank() const { return rank_; }
  // Whether it is its process's first, which keeps the process's books.
  bool leads() const { return rank_ == run_.first_worker; }
  int size() const { return run_.resolved.workers; }
  Run& run() { return run_; }
  Step& step() { return *step_; }
  std::span<float> values() { return memory_.values; }
  std::span<float> gradients() { return memory_.gradients; }
  // gradients() and, behind them, kPadFloats for what is reduced together with them.
  std::span<float> gradients_and_tail() { return own_gradients_.span(); }
  std::span<float> state() { return memory_.state; }

  // What is recorded of it; null where nothing is.
  TraceRecorder* trace() const { return trace_; }

  // What an EpochStep is told of the training, and of the epoch that has begun; `scalars` are
  // epoch_scalars().
  EpochJob epoch_job() const;
  EpochPlan epoch_plan(std::span<const UpdateScalars> scalars) const;
  std::vector<UpdateScalars> epoch_scalars() const;

  // The constants of an update whose gradient sums over `samples`.
  UpdateScalars scalars(const GlobalBatch& batch, int64_t samples) const;

  // False when training is over. Otherwise all workers start the epoch together.
  bool begin_epoch();
  // Null at the epoch's end and when training was interrupted. Valid until the next call.
  const GlobalBatch* next_batch();
  // Adds a batch's metrics. Throws Error{diverged} where the loss is not finite.
  void count(const BatchMetrics& metrics);
  // Collective. Records the epoch: metrics, evaluation, checkpoint, whether to go on.
  // REQUIRES: values() hold what is to be evaluated.
  void end_epoch();

  bool interrupted() const { return interrupted_; }
  bool in_last_epoch() const { return epoch_ + 1 == run_.config.epochs; }
  // Collective: all workers of all ranks meet. Counted as synchronization.
  void barrier();

  // Where this worker's time went besides its step. A strategy calls them once, at its end, with
  // what its own parts measured.
  void add_communication(const CommunicationCounters& counters);
  void add_update(double seconds) { update_ += seconds; }

  // Publishes what this worker measured. Once, at the end.
  void publish();

 private:
  bool checkpoint_is_due(int64_t finished_steps) const;
  bool may_start(int64_t global_step);
  bool may_start_by_vote(SharedEpochStep& step, int64_t global_step);
  void fill_batch(IndexRange positions);
  void record_step_time();
  void record_mean_step_time(double epoch_seconds);
  void report_progress();
  bool evaluation_is_due() const;
  void evaluate_blocks();
  void close_epoch(double epoch_seconds);
  void save_within_epoch();
  void offer_slot();
  void write_back();
  TrainingPosition position() const;

  Run& run_;
  int rank_;
  TraceRecorder* trace_;
  Floats own_values_, own_gradients_, own_state_;
  StepMemory memory_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Step> step_;

  int64_t epoch_ = 0;
  int64_t step_in_epoch_ = 0;  // batches finished
  bool first_epoch_ = true;
  bool batch_open_ = false;  // a batch was handed out and is not counted as finished yet
  bool interrupted_ = false;
  bool finished_ = false;
  BatchMetrics epoch_metrics_;
  GlobalBatch batch_;
  std::vector<int64_t> samples_;

  double synchronization_ = 0.0;
  double sampling_ = 0.0;
  double communication_ = 0.0, hidden_ = 0.0;
  double update_ = 0.0;
  CommunicationTotals totals_;
  Clock::time_point epoch_start_, step_start_, progress_at_;
};

}  // namespace lockstep
