// Local SGD on several GPUs: every replica steps on its own share, NCCL averages them.
#include <algorithm>

#include "train/averaging.h"
#include "train/epochs.h"
#include "train/gpu_team.h"
#include "train/strategies.h"

namespace lockstep {

namespace {

// A local step divides by its own share's count.
std::vector<UpdateScalars> local_scalars(Worker& worker, const EpochJob& job, int64_t first_step) {
  const Run& run = worker.run();
  std::vector<UpdateScalars> scalars;
  for (int64_t k = 0; k < run.steps_per_epoch; ++k) {
    scalars.push_back(update_scalars(run.config.optimizer, run.schedule.at(first_step + k),
                                     first_step + k, std::max<int64_t>(job.share(k).size(), 1)));
  }
  return scalars;
}

// The replicas of a team: how many samples each has trained on since they were last equal.
class Averager {
 public:
  Averager(SharedEpochStep& step, AverageState state) : step_(step), state_(state) {}

  void add(int64_t own, int64_t all) {
    own_samples_ += own;
    all_samples_ += all;
    ++batches_;
  }
  int64_t batches() const { return batches_; }

  void average() {
    if (all_samples_ == 0) return;
    step_.average(static_cast<float>(own_samples_) / static_cast<float>(all_samples_), state_);
    own_samples_ = all_samples_ = batches_ = 0;
  }

 private:
  SharedEpochStep& step_;
  AverageState state_;
  int64_t own_samples_ = 0, all_samples_ = 0, batches_ = 0;
};

// One-shot averaging evaluates the mean of the replicas at an epoch's end and goes on from each
// worker's own.
void end_epoch_on_average(Worker& worker, SharedEpochStep& step, Averager averager, bool last) {
  step.keep_replica();
  averager.average();
  worker.end_epoch();
  if (!last && !worker.interrupted()) step.restore_replica();
}

}  // namespace

void train_local_sgd_on_gpus(Run& run, int rank) {
  const auto communicator = join_device_group(run, rank);
  Worker worker(run, rank, Weights::own, State::own);
  EpochStep& step = *worker.step().epoch_step();
  const EpochJob job = shared_job(worker, *communicator);
  step.prepare(job);
  if (worker.leads()) say_where_data_are(run, step);
  const bool with_state = run.config.sync_state == SyncState::average;
  Averager averager(*step.shared_step(), with_state ? AverageState::yes : AverageState::no);
  const SyncEvery& every = run.config.sync_every;
  while (worker.begin_epoch()) {
    EpochPlan plan = worker.epoch_plan({});
    const std::vector<UpdateScalars> scalars =
        local_scalars(worker, job, plan.first_step - plan.first_batch);
    plan.scalars = scalars;
    step.begin_epoch(plan);
    while (const GlobalBatch* batch = worker.next_batch()) {
      worker.count(step.train_next());
      averager.add(batch->share.contiguous_range.size(), batch->count);
      if (average_is_due(every, *batch, averager.batches())) averager.average();
    }
    if (every.kind == SyncEvery::Kind::end) {
      end_epoch_on_average(worker, *step.shared_step(), averager, worker.in_last_epoch());
    } else {
      if (worker.interrupted()) averager.average();
      worker.end_epoch();
    }
  }
  publish_shared(worker);
}

}  // namespace lockstep
