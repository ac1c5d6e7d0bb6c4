#include <limits>

#include "comm/gradient_reducer.h"
#include "comm/thread_communicator.h"
#include "train/strategies.h"

namespace lockstep {

namespace {

// The largest bucket that --bucket-mb auto takes: two workers then fold one slab while the next is
// still being computed.
constexpr double kAutoBucketBytes = 256.0 * 1024.0;

std::vector<Range> bucket_plan(const Run& run) {
  const std::optional<double> bucket_mb = run.config.bucket_mb;
  return plan_buckets(run.layout, bucket_mb ? *bucket_mb * 1e6 : kAutoBucketBytes);
}

// `scalars` are those that the reducer's updates use.
void train_with(Worker& worker, GradientReducer& reducer, UpdateScalars& scalars) {
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) {
      scalars = worker.scalars(*batch, batch->count);
      reducer.begin_step(batch->global_step);
      const BatchMetrics metrics = worker.step().gradients(batch->share, reducer);
      reducer.finish();
      worker.count(metrics);
    }
    worker.end_epoch();
  }
}

// One set of weights; each worker updates its own slice of it.
void train_sliced(Run& run, int rank) {
  Worker worker(run, rank, Weights::shared, State::shared);
  UpdateScalars scalars;
  SlicedReducer reducer(run.group, rank, worker.gradients(), bucket_plan(run), run.overlap(),
                        [&](Range range) { worker.step().update(range, scalars); });
  train_with(worker, reducer, scalars);
  worker.add_communication(reducer.counters());
  worker.publish();
}

// A replica a worker; gradients are all-reduced and every replica updated alike.
void train_replicas(Run& run, int rank) {
  Worker worker(run, rank, Weights::own, State::own);
  ThreadCommunicator communicator(run.group, rank, run.resolved.allreduce);
  UpdateScalars scalars;
  ReplicaReducer reducer(communicator, worker.gradients(), bucket_plan(run), run.overlap(),
                         [&](Range range) { worker.step().update(range, scalars); });
  train_with(worker, reducer, scalars);
  worker.add_communication(communicator.counters());
  worker.publish();
}

}  // namespace

void train_sync(Run& run, int rank) {
  if (run.resolved.update == UpdateKind::sliced) {
    train_sliced(run, rank);
  } else {
    train_replicas(run, rank);
  }
}

}  // namespace lockstep
