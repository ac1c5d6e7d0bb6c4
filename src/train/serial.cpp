#include "train/strategies.h"

namespace lockstep {

namespace {

void train_epochs(Worker& worker, EpochStep& step) {
  while (worker.begin_epoch()) {
    const std::vector<UpdateScalars> scalars = worker.epoch_scalars();
    step.begin_epoch(worker.epoch_plan(scalars));
    while (worker.next_batch()) worker.count(step.train_next());
    worker.end_epoch();
  }
}

}  // namespace

void train_serial(Run& run, int rank) {
  Worker worker(run, rank, Weights::shared, State::shared);
  if (EpochStep* step = worker.step().epoch_step()) {
    train_epochs(worker, *step);
    worker.publish();
    return;
  }
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) {
      worker.count(worker.step().train(batch->share, worker.scalars(*batch, batch->count)));
    }
    worker.end_epoch();
  }
  worker.publish();
}

}  // namespace lockstep
