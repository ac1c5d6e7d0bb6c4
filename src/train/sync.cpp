#include <fmt/format.h>

#include "comm/gradient_reducer.h"
#include "lockstep/error.h"
#include "train/bucket_tuner.h"
#include "train/strategies.h"

namespace lockstep {

namespace {

BucketTuner make_tuner(const Run& run) {
  const std::optional<double> bucket_mb = run.config.bucket_mb;
  const auto bytes = bucket_mb ? std::optional(*bucket_mb * 1e6) : std::nullopt;
  return {run.layout, bytes, run.config.epochs * run.steps_per_epoch};
}

void agree_on_bucket(Worker& worker, BucketTuner& tuner) {
  Run& run = worker.run();
  if (worker.leads()) {
    run.bucket_index = tuner.fastest();
    run.processes.broadcast(std::span(&run.bucket_index, 1), 0);
  }
  worker.barrier();
  tuner.settle(worker.run().bucket_index);
}

// What the workers reduced together with their gradients: all must have taken the same batch.
void heed(Worker& worker, const GlobalBatch& batch, const std::optional<StepTail>& total) {
  if (!total) return;
  if (total->samples != batch.count) {
    throw Error(ErrorKind::communication,
                fmt::format("the workers' shares of step {} add up to {} samples, its batch has {}",
                            batch.global_step + 1, total->samples, batch.count),
                "this is a defect of this program: please report it");
  }
  if (total->stop) worker.run().stop_agreed.store(true, std::memory_order_relaxed);
}

// `scalars` are those that the reducer's updates use.
void train_with(Worker& worker, GradientReducer& reducer, UpdateScalars& scalars) {
  BucketTuner tuner = make_tuner(worker.run());
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) {
      const Clock::time_point start = Clock::now();
      scalars = worker.scalars(*batch, batch->count);
      reducer.begin_step(tuner.plan(), {batch->share.size(), worker.run().stop_by_vote()});
      const BatchMetrics metrics = worker.step().gradients(batch->share, reducer);
      reducer.finish();
      heed(worker, *batch, reducer.total());
      worker.count(metrics);
      if (tuner.step_done(seconds_between(start, Clock::now()))) agree_on_bucket(worker, tuner);
    }
    worker.end_epoch();
  }
  if (worker.leads()) worker.run().bucket_bytes = tuner.bytes();
}

// One set of weights; each worker updates its own slice of it.
void train_sliced(Run& run, int rank) {
  Worker worker(run, rank, Weights::shared, State::shared);
  UpdateScalars scalars;
  SlicedReducer reducer(run.group, run.place(rank), worker.gradients(), run.overlap(),
                        [&](Range range) { worker.step().update(range, scalars); });
  reducer.record(worker.trace());
  train_with(worker, reducer, scalars);
  worker.add_communication(reducer.counters());
  worker.publish();
}

// A replica a worker; gradients are all-reduced and every replica updated alike.
void train_replicas(Run& run, int rank) {
  Worker worker(run, rank, Weights::own, State::own);
  const std::unique_ptr<Communicator> communicator = run.communicator(rank);
  UpdateScalars scalars;
  ReplicaReducer reducer(*communicator, worker.gradients_and_tail(), run.overlap(),
                         [&](Range range) { worker.step().update(range, scalars); });
  reducer.record(worker.trace());
  train_with(worker, reducer, scalars);
  worker.add_communication(communicator->counters());
  worker.publish();
}

}  // namespace

void train_sync(Run& run, int rank) {
  if (run.devices) return train_sync_on_gpus(run, rank);
  if (run.resolved.device.on_gpu()) return train_serial(run, rank);  // one: nothing to sum
  switch (run.update) {
    case UpdateKind::factors: return train_on_factors(run, rank);
    case UpdateKind::replicas: return train_replicas(run, rank);
    case UpdateKind::automatic:
    case UpdateKind::sliced: return train_sliced(run, rank);
  }
}

}  // namespace lockstep
