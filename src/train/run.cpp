#include "train/run.h"

#include <algorithm>

namespace lockstep {

namespace {

StateMerge state_merge(const Resolved& resolved) {
  switch (resolved.strategy) {
    case Strategy::serial: return StateMerge::shared;
    case Strategy::sync:
      return resolved.update == UpdateKind::sliced ? StateMerge::shared : StateMerge::first;
    case Strategy::hogwild: return StateMerge::sum;
    case Strategy::local_sgd:
      return resolved.config.sync_state == SyncState::average ? StateMerge::first
                                                              : StateMerge::mean;
  }
  return StateMerge::shared;
}

int64_t blocks_of(const Dataset& dataset) {
  if (!dataset.test) return 0;
  return (dataset.test->size() + Run::kEvalBlock - 1) / Run::kEvalBlock;
}

}  // namespace

Run::Run(const Resolved& resolved_in, const Dataset& dataset_in, const Model& model_in,
         const TrainObserver& observer_in, const std::atomic<int>* stop, int processors)
    : resolved(resolved_in),
      config(resolved_in.config),
      dataset(dataset_in),
      model(model_in),
      observer(observer_in),
      layout(model_in),
      sampler(dataset_in.train.size(), resolved_in.config.seed, resolved_in.config.data.shuffle),
      steps_per_epoch(sampler.batches(resolved_in.global_batch)),
      schedule(config.schedule, config.optimizer.learning_rate, resolved_in.learning_rate_scale,
               config.epochs, steps_per_epoch),
      group(resolved_in.workers, config.comm_timeout, processors),
      gate(resolved_in.workers, stop),
      values(layout.size()),
      state(layout.size() * config.optimizer.state_count()),
      state_merge(lockstep::state_merge(resolved_in)),
      slots(resolved_in.workers),
      eval_blocks(blocks_of(dataset_in)),
      book(resolved_in.config) {
  constexpr int64_t kMostStepsReserved = int64_t{1} << 20;
  step_seconds.reserve(std::min(steps_per_epoch * config.epochs, kMostStepsReserved));
}

}  // namespace lockstep
