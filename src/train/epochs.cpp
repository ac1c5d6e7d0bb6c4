#include "train/epochs.h"

#include <fmt/format.h>

namespace lockstep {

void say_where_data_are(const Run& run, const EpochStep& step) {
  const bool chosen = run.config.data_placement == DataPlacement::automatic;
  const bool on_host = step.set_up().data_placement == DataPlacement::host;
  if (!chosen || !on_host || !run.observer.on_warning) return;
  run.observer.on_warning(
      fmt::format("the training data ({:.1f} MB) do not fit in the GPU's free memory: they are "
                  "streamed from the host's",
                  static_cast<double>(run.dataset.train.features.bytes()) / 1e6));
}

void train_epochs(Worker& worker, EpochStep& step) {
  while (worker.begin_epoch()) {
    const std::vector<UpdateScalars> scalars = worker.epoch_scalars();
    step.begin_epoch(worker.epoch_plan(scalars));
    while (worker.next_batch()) worker.count(step.train_next());
    worker.end_epoch();
  }
}

}  // namespace lockstep
