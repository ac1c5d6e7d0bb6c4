#include "train/epochs.h"
#include "train/strategies.h"

namespace lockstep {

void train_serial(Run& run, int rank) {
  Worker worker(run, rank, Weights::shared, State::shared);
  if (EpochStep* step = worker.step().epoch_step()) {
    step->prepare(worker.epoch_job());
    say_where_data_are(run, *step);
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
