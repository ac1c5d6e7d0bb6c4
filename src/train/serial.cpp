#include <fmt/format.h>

#include "train/strategies.h"

namespace lockstep {

namespace {

void say_where_data_are(const Run& run, DataPlacement placement) {
  const bool chosen = run.config.data_placement == DataPlacement::automatic;
  if (!chosen || placement != DataPlacement::host || !run.observer.on_warning) return;
  run.observer.on_warning(
      fmt::format("the training data ({:.1f} MB) do not fit in the GPU's free memory: they are "
                  "streamed from the host's",
                  static_cast<double>(run.dataset.train.features.bytes()) / 1e6));
}

void train_epochs(Worker& worker, EpochStep& step) {
  step.prepare(worker.epoch_job());
  say_where_data_are(worker.run(), step.set_up().data_placement);
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
