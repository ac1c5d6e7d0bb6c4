#include "lockstep/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "backend/logistic_step.h"
#include "comm/stopwatch.h"
#include "lockstep/error.h"
#include "train/gpu_team.h"
#include "train/processors.h"
#include "train/run.h"
#include "train/run_result.h"
#include "train/strategies.h"
#include "train/team.h"
#include "train/training_state.h"

namespace lockstep {

namespace {

void run_strategy(Run& run, int rank) {
  switch (run.resolved.strategy) {
    case Strategy::serial: return train_serial(run, rank);
    case Strategy::sync: return train_sync(run, rank);
    case Strategy::hogwild: return train_hogwild(run, rank);
    case Strategy::local_sgd: return train_local_sgd(run, rank);
  }
}

// Weights from --init: a model alone, not a training state's optimizer or position.
void initialize_from(Run& run, const std::string& path) {
  const Checkpoint checkpoint = load_checkpoint(path);
  if (checkpoint.values.size() != run.values.size() ||
      ParameterLayout(checkpoint.model).count() != run.layout.count()) {
    throw Error(ErrorKind::usage,
                fmt::format("--init {}: its model has {} parameters, this run's {}", path,
                            ParameterLayout(checkpoint.model).count(), run.layout.count()),
                "use the --model and --hidden of the run that wrote it");
  }
  from_logical(run.layout, checkpoint.values.span(), run.values.span());
}

void set_start(Run& run, const Checkpoint* resume) {
  if (resume) {
    resume_run(run, *resume);
  } else if (!run.config.init.empty()) {
    initialize_from(run, run.config.init);
  } else {
    Buffer<float> values(run.layout.size());
    initialize(run.model, run.layout, run.config.seed, values.span());
    from_logical(run.layout, values.span(), run.values.span());
  }
  run.processes.barrier();  // weights that all share are there
  if (run.resolved.strategy == Strategy::hogwild) {
    run.hogwild_values = Buffer<SharedFloats>(run.values.size() / 2);
    store_relaxed(run.hogwild_values.span(), run.values.span());
  }
}

// Rank 0 says whether, and of which steps: all take part.
void start_trace(Run& run) {
  std::array<int64_t, 3> asked{};
  if (!run.config.trace.empty() && run.processes.rank() == 0) {
    const StepRange all{run.start.epoch * run.steps_per_epoch + run.start.step,
                        run.config.epochs * run.steps_per_epoch};
    const StepRange steps = steps_to_trace(run.config, all, run.observer.on_warning);
    asked = {1, steps.begin, steps.end};
  }
  run.processes.broadcast(std::span<int64_t>(asked), 0);
  if (asked[0] == 0) return;
  run.trace = std::make_unique<RunTrace>(StepRange{asked[1], asked[2]}, run.first_worker,
                                         run.local_workers, run.processes);
}

void finish_trace(Run& run, TrainedModel& trained) {
  if (!run.trace) return;
  const DeviceChoice& device = run.resolved.device;
  Trace trace = run.trace->gather(run.processes, device.gpus);
  trace.emulated = device.emulated;
  if (run.processes.rank() != 0) return;
  const TrainObserver& observer = run.observer;
  if (trace.empty() && !trace.steps.empty() && observer.on_warning) {
    observer.on_warning(
        fmt::format("the trace is empty: the run ended before step {}", trace.steps.begin));
  }
  if (std::ranges::any_of(trace.workers, &Trace::Worker::cut) && observer.on_warning) {
    observer.on_warning(fmt::format("the trace ends early: a worker has more than {} events",
                                    TraceRecorder::kMostEvents));
  }
  trained.trace = std::move(trace);
}

// The processor of each worker's own thread.
std::vector<int> workers_processors(const Run& run) {
  std::vector<int> processors;
  for (size_t i = 0; i < run.processors.size(); i += run.config.threads) {
    processors.push_back(run.processors[i]);
  }
  return processors;
}

void warn_of_sharing(const Run& run, size_t processors) {
  const auto workers = static_cast<size_t>(run.local_workers) * run.processes.neighbours().size();
  const size_t threads = workers * static_cast<size_t>(run.config.threads);
  const bool on_gpus = run.resolved.device.on_gpu();  // a thread only drives one
  if (!run.observer.on_warning || on_gpus || threads <= processors) return;
  run.observer.on_warning(
      fmt::format("{} {} share {} processors: they take turns, and no speedup can be expected",
                  threads, threads == workers ? "workers" : "threads", processors));
}

}  // namespace

void require_trainable(const Resolved& resolved, const Dataset& dataset, const Model& model) {
  if (dataset.train.labels.empty()) {
    throw Error(ErrorKind::data, fmt::format("{}: training needs labels", dataset.name),
                "name the label column (csv:FILE,label=NAME)");
  }
  if (model.inputs != dataset.features()) {
    throw Error(ErrorKind::data,
                fmt::format("{} has {} features, the model takes {}", dataset.name,
                            dataset.features(), model.inputs),
                "use the data that the model was made for");
  }
  const Config& config = resolved.config;
  if (parse_augmentation(config.data.augment, config.seed, dataset.image) && is_logistic(model)) {
    throw Error(ErrorKind::usage,
                "--augment: logistic regression reads the data where they lie, and moves no image",
                "leave it out, or use another model");
  }
  if (resolved.update == UpdateKind::factors && !has_factors(resolved, model)) {
    throw Error(ErrorKind::usage, "--update factors: this model's step has none to exchange",
                "use --update sliced");
  }
}

TrainedModel train(const Resolved& resolved, const Dataset& dataset, const Model& model,
                   const TrainObserver& observer, const std::atomic<int>* stop,
                   const Checkpoint* resume) {
  require_trainable(resolved, dataset, model);
  const Clock::time_point start = Clock::now();
  const RankProcessors usable =
      divide_processors(*resolved.processes, resolved.config.workers * resolved.config.threads);
  Run run(resolved, dataset, model, observer, stop, usable);
  set_start(run, resume);
  warn_of_sharing(run, static_cast<size_t>(usable.shared));
  start_trace(run);
  run.created = start;
  run.devices = make_device_group(run);
  const int first_place = run.place(run.first_worker);
  run_team(run.group, {first_place, run.local_workers}, workers_processors(run),
           [&](int place) { run_strategy(run, run.first_worker + place - first_place); });

  TrainedModel trained;
  const bool interrupted = run.stopped();
  if (interrupted && !resolved.config.out.empty()) save_training_state(run, run.reached);
  trained.checkpoint = make_checkpoint(run, run.reached);
  if (!interrupted && resolved.config.keep_best && !run.book.best_values().empty()) {
    trained.checkpoint.values = run.logical(run.book.best_values().span());
  }
  trained.result = make_result(run, trained.checkpoint.values.span(), interrupted);
  finish_trace(run, trained);
  return trained;
}

}  // namespace lockstep
