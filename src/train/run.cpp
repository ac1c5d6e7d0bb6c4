#include "train/run.h"

#include <algorithm>
#include <variant>

#include "backend/logistic_step.h"
#include "comm/thread_communicator.h"
#include "lockstep/error.h"
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

// Exchanging gradients, a worker writes all of its own and reads a slice of everybody's. Ranks
// share no activations, and by messages no weights either.
UpdateKind choose_update(const Resolved& resolved, const Model& model, Reach reach) {
  if (reach == Reach::messages) {
    if (resolved.config.update == UpdateKind::sliced) {
      throw AgreedFailure{
          Error(ErrorKind::communication,
                "--update sliced: the ranks have no memory in common for its weights",
                "use --update replicas"),
          0};
    }
    return UpdateKind::replicas;
  }
  if (resolved.update != UpdateKind::automatic) return resolved.update;
  if (reach == Reach::machine) return UpdateKind::sliced;
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
  const int64_t threads = int64_t{config.workers} * config.threads;
  const bool alone = threads == 1 && resolved.ranks == 1;
  const bool pinned = ours && !alone && threads <= static_cast<int64_t>(usable.size());
  return pinned ? usable : std::vector<int>();
}

ThreadGroup make_group(const Resolved& resolved, const JobMemory& memory, int processors) {
  const Config& config = resolved.config;
  const int each = processors / config.threads;
  if (memory.reach() != Reach::machine) return {config.workers, config.comm_timeout, each};
  return {resolved.workers, config.comm_timeout, each, memory.group_memory()};
}

StopGate make_gate(const Resolved& resolved, const JobMemory& memory,
                   const std::atomic<int>* stop) {
  if (memory.reach() != Reach::machine) return {resolved.config.workers, stop};
  return {resolved.workers, stop, memory.gate_memory()};
}

size_t floats_of_worker(const Resolved& resolved, const ParameterLayout& layout) {
  const auto states = static_cast<size_t>(resolved.config.optimizer.state_count());
  return (2 + states) * layout.size() + kPadFloats;
}

size_t floats_of_all(const Resolved& resolved, const ParameterLayout& layout) {
  return (1 + static_cast<size_t>(resolved.config.optimizer.state_count())) * layout.size();
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
         !model.convolutional() && !resolved.device.on_gpu();
}

bool keeps_gradients(const Resolved& resolved, const Model& model) {
  if (resolved.device.on_gpu()) return true;
  switch (resolved.strategy) {
    case Strategy::hogwild: return true;
    case Strategy::sync:
      if (resolved.ranks > 1 ||
          choose_update(resolved, model, Reach::process) != UpdateKind::factors) {
        return true;
      }
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
         const RankProcessors& usable_processors)
    : resolved(resolved_in),
      config(resolved_in.config),
      dataset(dataset_in),
      model(model_in),
      augmentation(parse_augmentation(resolved_in.config.data.augment, resolved_in.config.seed,
                                      dataset_in.image)),
      rounded(round_where_asked(resolved_in, model_in, dataset_in)),
      observer(observer_in),
      layout(model_in, choose_first_weight(resolved_in, dataset_in, model_in)),
      sampler(dataset_in.train.size(), resolved_in.config.seed, resolved_in.config.data.shuffle),
      steps_per_epoch(sampler.batches(resolved_in.global_batch)),
      schedule(config.schedule, config.optimizer.learning_rate, resolved_in.learning_rate_scale,
               config.epochs, steps_per_epoch),
      processes(*resolved_in.processes),
      first_worker(processes.rank() * config.workers),
      local_workers(config.workers),
      memory(resolved_in, floats_of_worker(resolved_in, layout),
             floats_of_all(resolved_in, layout)),
      update(choose_update(resolved_in, model_in, memory.reach())),
      group(make_group(resolved_in, memory, usable_processors.shared)),
      gate(make_gate(resolved_in, memory, stop)),
      processors(processors_to_pin(resolved_in, model_in, usable_processors.usable)),
      values(shares_weights() ? memory.allocate_shared(layout.size()) : Floats(layout.size())),
      state(shares_weights()
                ? memory.allocate_shared(layout.size() * config.optimizer.state_count())
                : Floats(layout.size() * config.optimizer.state_count())),
      state_merge(lockstep::state_merge(resolved_in, update)),
      slots(resolved_in.workers),
      eval_blocks(blocks_of(dataset_in)),
      book(resolved_in.config,
           dataset_in.test ? EpochBook::TestPart::yes : EpochBook::TestPart::no) {
  constexpr int64_t kMostStepsReserved = int64_t{1} << 20;
  step_seconds.reserve(std::min(steps_per_epoch * config.epochs, kMostStepsReserved));
}

std::unique_ptr<Communicator> Run::communicator(int rank) {
  if (by_messages()) return processes.communicator(allreduce());
  return std::make_unique<ThreadCommunicator>(group, place(rank), allreduce());
}

// The library's is of messages alone.
AllReduceAlgorithm Run::allreduce() const {
  const bool chosen = config.allreduce != AllReduceChoice::automatic || config.deterministic;
  if (by_messages() && !chosen) return AllReduceAlgorithm::library;
  return resolved.allreduce;
}

void Run::meet(int rank) {
  group.barrier(place(rank));
  if (processes.size() == 1 || memory.reach() == Reach::machine) return;
  if (rank == first_worker) processes.barrier();
  group.barrier(place(rank));
}

void Run::exchange(double& seconds) {
  if (processes.size() == 1) return;
  std::vector<Measured> own;
  for (int i = 0; i < local_workers; ++i) own.push_back(slots[first_worker + i].measured);
  const std::vector<Measured> all = processes.all_gather(std::span<const Measured>(own));
  for (size_t worker = 0; worker < slots.size(); ++worker) slots[worker].measured = all[worker];

  const size_t blocks = eval_blocks.size();
  const auto each = processes.all_gather(std::span<const BatchMetrics>(eval_blocks));
  for (size_t block = 0; block < blocks; ++block) {
    const size_t owner = block % slots.size() / static_cast<size_t>(local_workers);
    eval_blocks[block] = each[owner * blocks + block];
  }
  seconds = std::ranges::max(processes.all_gather(seconds));
}

// Sums in the workers' order, then divides: the same bits in every run.
void Run::merge_states(float divisor) {
  std::fill(state.begin(), state.end(), 0.0f);
  std::vector<float> one(state.size());
  for (int worker = 0; worker < resolved.workers; ++worker) {
    const int owner = worker / local_workers;
    const std::span<const float> own = slots[worker].state;
    if (owner == processes.rank()) std::copy(own.begin(), own.end(), one.begin());
    if (processes.size() > 1) processes.broadcast(std::span(one), owner);
    for (size_t i = 0; i < one.size(); ++i) state[i] += one[i];
  }
  for (float& value : state.span()) value /= divisor;
}

Buffer<float> Run::logical(std::span<const float> stored) const {
  Buffer<float> ordered(stored.size());
  to_logical(layout, stored, ordered.span());
  return ordered;
}

}  // namespace lockstep
