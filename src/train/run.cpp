#include "train/run.h"

#include <algorithm>
#include <variant>

#include "backend/logistic_step.h"
#include "train/sparse_input.h"

namespace lockstep {

namespace {

// Floats that a worker reads of a global batch's factors, its own among them.
int64_t factor_floats(const Model& model, int64_t global_batch) {
  int64_t widths = 0;
  for (const Layer& layer : model.layers) {
    if (const auto* linear = std::get_if<Linear>(&layer))
      widths += linear->inputs + linear->outputs;
  }
  return global_batch * widths;
}

// Exchanging gradients, a worker writes all of its own and reads a slice of everybody's.
UpdateKind choose_update(const Resolved& resolved, const Model& model) {
  if (resolved.update != UpdateKind::automatic) return resolved.update;
  const int64_t gradients = 2 * model.parameter_count();
  return has_factors(resolved, model) && factor_floats(model, resolved.global_batch) <= gradients
             ? UpdateKind::factors
             : UpdateKind::sliced;
}

StateMerge state_merge(const Resolved& resolved, UpdateKind update) {
  switch (resolved.strategy) {
    case Strategy::serial: return StateMerge::shared;
    case Strategy::sync:
      return update == UpdateKind::replicas ? StateMerge::first : StateMerge::shared;
    case Strategy::hogwild: return StateMerge::sum;
    case Strategy::local_sgd:
      return resolved.config.sync_state == SyncState::average ? StateMerge::first
                                                              : StateMerge::mean;
  }
  return StateMerge::shared;
}

// A thread alone, and the threads of a library, which inherit their creator's processor, are left
// to the system.
std::vector<int> processors_to_pin(const Resolved& resolved, const Model& model,
                                   const std::vector<int>& usable) {
  const Config& config = resolved.config;
  const bool ours =
      config.threads == 1 || config.model.precision == Precision::fp32 || is_logistic(model);
  const int64_t threads = int64_t{resolved.workers} * config.threads;
  const bool pinned = ours && threads > 1 && threads <= static_cast<int64_t>(usable.size());
  return pinned ? usable : std::vector<int>();
}

std::optional<RoundedData> round_where_asked(const Resolved& resolved, const Model& model,
                                             const Dataset& dataset) {
  if (!reads_rounded_data(resolved, model)) return std::nullopt;
  return rounded_data(dataset);
}

int64_t blocks_of(const Dataset& dataset) {
  if (!dataset.test) return 0;
  return (dataset.test->size() + Run::kEvalBlock - 1) / Run::kEvalBlock;
}

}  // namespace

bool has_factors(const Resolved& resolved, const Model& model) {
  const Config& config = resolved.config;
  return config.model.precision == Precision::fp32 && config.threads == 1 && !is_logistic(model) &&
         !resolved.device.on_gpu();
}

bool keeps_gradients(const Resolved& resolved, const Model& model) {
  if (resolved.device.on_gpu()) return true;
  switch (resolved.strategy) {
    case Strategy::hogwild: return true;
    case Strategy::sync:
      if (choose_update(resolved, model) != UpdateKind::factors) return true;
      break;
    case Strategy::serial:
    case Strategy::local_sgd: break;
  }
  StepOptions options;
  options.precision = resolved.config.model.precision;
  options.accumulate = resolved.config.accumulate;
  options.threads = resolved.config.threads;
  return make_cpu_backend()->train_needs_gradients(model, options);
}

Run::Run(const Resolved& resolved_in, const Dataset& dataset_in, const Model& model_in,
         const TrainObserver& observer_in, const std::atomic<int>* stop,
         const std::vector<int>& usable_processors)
    : resolved(resolved_in),
      config(resolved_in.config),
      dataset(dataset_in),
      model(model_in),
      rounded(round_where_asked(resolved_in, model_in, dataset_in)),
      observer(observer_in),
      layout(model_in, choose_first_weight(resolved_in, dataset_in, model_in)),
      sampler(dataset_in.train.size(), resolved_in.config.seed, resolved_in.config.data.shuffle),
      steps_per_epoch(sampler.batches(resolved_in.global_batch)),
      schedule(config.schedule, config.optimizer.learning_rate, resolved_in.learning_rate_scale,
               config.epochs, steps_per_epoch),
      group(resolved_in.workers, config.comm_timeout,
            static_cast<int>(usable_processors.size()) / config.threads),
      gate(resolved_in.workers, stop),
      processors(processors_to_pin(resolved_in, model_in, usable_processors)),
      values(layout.size()),
      state(layout.size() * config.optimizer.state_count()),
      update(choose_update(resolved_in, model_in)),
      state_merge(lockstep::state_merge(resolved_in, update)),
      slots(resolved_in.workers),
      eval_blocks(blocks_of(dataset_in)),
      book(resolved_in.config,
           dataset_in.test ? EpochBook::TestPart::yes : EpochBook::TestPart::no) {
  constexpr int64_t kMostStepsReserved = int64_t{1} << 20;
  step_seconds.reserve(std::min(steps_per_epoch * config.epochs, kMostStepsReserved));
}

Buffer<float> Run::logical(std::span<const float> stored) const {
  Buffer<float> ordered(stored.size());
  to_logical(layout, stored, ordered.span());
  return ordered;
}

}  // namespace lockstep
