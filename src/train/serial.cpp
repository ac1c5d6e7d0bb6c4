#include "train/strategies.h"

namespace lockstep {

void train_serial(Run& run, int rank) {
  Worker worker(run, rank, Weights::shared, State::shared);
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) {
      worker.count(worker.step().train(batch->share, worker.scalars(*batch, batch->count)));
    }
    worker.end_epoch();
  }
  worker.publish();
}

}  // namespace lockstep
