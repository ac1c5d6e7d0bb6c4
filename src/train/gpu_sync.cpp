// Synchronous SGD on several GPUs: a replica each, gradients summed by NCCL, replicas updated
// alike.
#include "train/bucket_tuner.h"
#include "train/epochs.h"
#include "train/gpu_team.h"
#include "train/strategies.h"

namespace lockstep {

namespace {

constexpr int kWarmUp = 2;  // steps of each bucket size before its steps are timed
constexpr int kTrials = 6;

// `--bucket-mb auto`: the device times a few steps of each size that update nothing, from their
// first kernel to the last bucket's sum; worker 0's fastest is everybody's.
double choose_buckets(Worker& worker, SharedEpochStep& step) {
  Run& run = worker.run();
  const std::optional<double> given = run.config.bucket_mb;
  BucketTuner tuner(run.layout, given ? std::optional(*given * 1e6) : std::nullopt,
                    run.config.epochs * run.steps_per_epoch);
  if (tuner.candidates() > 1) {
    for (size_t i = 0; i < tuner.candidates(); ++i) {
      tuner.settle(i);
      step.use_buckets(tuner.plan());
      for (int trial = 0; trial < kWarmUp; ++trial) (void)step.try_step();
      for (int trial = 0; trial < kTrials; ++trial) tuner.record(step.try_step());
    }
    if (worker.leads()) {
      run.bucket_index = tuner.fastest();
      run.processes.broadcast(std::span(&run.bucket_index, 1), 0);
    }
    worker.barrier();
    tuner.settle(run.bucket_index);
  }
  step.use_buckets(tuner.plan());
  return tuner.bytes();
}

}  // namespace

void train_sync_on_gpus(Run& run, int rank) {
  const auto communicator = join_device_group(run, rank);
  Worker worker(run, rank, Weights::own, State::own);
  EpochStep& step = *worker.step().epoch_step();
  step.prepare(shared_job(worker, *communicator));
  if (worker.leads()) say_where_data_are(run, step);
  const double bucket_bytes = choose_buckets(worker, *step.shared_step());
  if (worker.leads()) run.bucket_bytes = bucket_bytes;
  train_epochs(worker, step);
  publish_shared(worker);
}

}  // namespace lockstep
