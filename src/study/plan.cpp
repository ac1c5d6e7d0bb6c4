#include "study/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

#include "lockstep/error.h"
#include "train/nearest.h"

namespace lockstep {

std::vector<std::string> default_modes(int cpus) {
  constexpr int64_t kPeriod = 8;
  std::vector<std::string> modes = {mode_name(Strategy::serial, 1, {})};
  for (const Strategy strategy : {Strategy::sync, Strategy::hogwild, Strategy::local_sgd}) {
    for (const int workers : std::set<int>{2, std::max(cpus, 2)}) {
      modes.push_back(mode_name(strategy, workers, {SyncEvery::Kind::steps, kPeriod}));
    }
  }
  return modes;
}

std::vector<std::string> with_workers(const std::vector<std::string>& modes,
                                      const std::vector<int>& workers) {
  std::vector<std::string> expanded;
  for (const std::string& text : modes) {
    const Mode mode = parse_mode(text);
    if (workers.empty() || mode.strategy == Strategy::serial || mode.workers) {
      expanded.push_back(text);
      continue;
    }
    const size_t at = text.find('@');
    const std::string device = at == std::string::npos ? "" : text.substr(at);
    for (const int count : workers) {
      expanded.push_back(fmt::format("{}:{}{}", text.substr(0, at), count, device));
    }
  }
  return expanded;
}

Config config_for_mode(const Config& base, const Mode& mode) {
  const Config defaults;
  Config config = base;
  config.strategy = mode.strategy;
  const bool serial = mode.strategy == Strategy::serial;
  config.workers = serial ? 1 : mode.workers.value_or(std::max(base.workers, 2));
  config.device = mode.device;
  config.ranks = 1;
  if (mode.device == "mpi") {
    config.ranks = std::exchange(config.workers, 1);
    config.device = "cpu";
  }
  if (mode.sync_every) config.sync_every = *mode.sync_every;
  if (mode.strategy != Strategy::local_sgd) {
    config.sync_every = defaults.sync_every;
    config.sync_state = defaults.sync_state;
  }
  if (mode.strategy != Strategy::sync) {
    config.bucket_mb = defaults.bucket_mb;
    config.overlap = defaults.overlap;
    config.update = defaults.update;
  }
  if (serial || mode.strategy == Strategy::hogwild) config.allreduce = defaults.allreduce;
  // The runs of a comparison leave no checkpoints: the folder holds the comparison.
  config.out.clear();
  config.overwrite = false;
  return config;
}

namespace {

std::string twin_name(const Resolved& run) {
  return fmt::format("{} batch-size={}", mode_name(Strategy::serial, 1, {}, run.device.name),
                     run.global_batch);
}

// The serial run of the same job as `run`, on the same kind of device: its global batch and its
// learning rate.
PlannedRun serial_twin(const Resolved& run, int64_t train_samples) {
  const std::string device = run.device.on_gpu() ? "cuda" : "cpu";
  Config config = config_for_mode(run.config, Mode{Strategy::serial, 1, std::nullopt, device});
  config.per_worker_batch.reset();
  config.batch_size = run.global_batch;
  PlannedRun twin;
  twin.name = twin_name(run);
  twin.resolved = resolve(config, train_samples);
  twin.resolved->learning_rate_scale = run.learning_rate_scale;
  twin.resolved->warnings.clear();
  return twin;
}

int index_of(const std::vector<PlannedRun>& runs, const std::string& name) {
  const auto found = std::ranges::find(runs, name, &PlannedRun::name);
  return found == runs.end() ? -1 : static_cast<int>(found - runs.begin());
}

bool is_weak_scaling(const PlannedRun& run) {
  return run.resolved && run.resolved->workers > 1 && run.resolved->config.per_worker_batch;
}

// Puts the serial twin of each weakly scaled run before the first run that needs it.
void add_serial_twins(std::vector<PlannedRun>& runs, int64_t train_samples) {
  std::vector<PlannedRun> all;
  for (PlannedRun& run : runs) {
    if (is_weak_scaling(run)) {
      PlannedRun twin = serial_twin(*run.resolved, train_samples);
      if (index_of(all, twin.name) < 0) all.push_back(std::move(twin));
    }
    all.push_back(std::move(run));
  }
  runs = std::move(all);
}

void choose_baselines(std::vector<PlannedRun>& runs, const std::string& baseline) {
  const int common = index_of(runs, baseline.empty() ? "serial" : baseline);
  if (common < 0 && !baseline.empty()) {
    std::vector<std::string> names;
    names.reserve(runs.size());
    for (const PlannedRun& run : runs) names.push_back(run.name);
    throw Error(ErrorKind::usage, fmt::format("--baseline {}: not among the modes", baseline),
                suggestion(baseline, names));
  }
  for (PlannedRun& run : runs) {
    run.baseline = common;
    if (baseline.empty() && is_weak_scaling(run)) {
      run.baseline = index_of(runs, twin_name(*run.resolved));
    } else if (baseline.empty() && run.resolved && run.name == twin_name(*run.resolved)) {
      run.baseline = index_of(runs, run.name);
    }
  }
}

void collect_warnings(ComparePlan& plan, int cpus) {
  std::set<std::string> seen;
  int most_workers = 0;
  for (const PlannedRun& run : plan.runs) {
    if (!run.resolved) continue;
    most_workers = std::max(most_workers, run.resolved->workers * run.resolved->config.threads);
    for (const std::string& warning : run.resolved->warnings) {
      if (seen.insert(warning).second) plan.warnings.push_back(warning);
    }
  }
  if (most_workers > cpus) {
    plan.warnings.push_back(
        fmt::format("up to {} threads share {} CPU{}: the times of those modes say little about "
                    "a machine that has enough",
                    most_workers, cpus, cpus == 1 ? "" : "s"));
  }
}

}  // namespace

ComparePlan plan_comparison(const std::vector<ModeRequest>& requests, const std::string& baseline,
                            int64_t train_samples, int cpus) {
  ComparePlan plan;
  std::exception_ptr first_error;
  for (const ModeRequest& request : requests) {
    PlannedRun run;
    run.name = request.name;
    if (index_of(plan.runs, run.name) >= 0) {
      throw Error(ErrorKind::usage, fmt::format("--modes: '{}' stands there twice", run.name),
                  "give each mode once; [[mode]] tables can have names");
    }
    try {
      run.resolved = resolve(request.config, train_samples);
      run.resolved->name = run.name;
    } catch (const Error& error) {
      run.reason = error.what();
      if (!first_error) first_error = std::current_exception();
    }
    plan.runs.push_back(std::move(run));
  }
  const bool any =
      std::ranges::any_of(plan.runs, [](const auto& run) { return run.resolved.has_value(); });
  if (!any && first_error) std::rethrow_exception(first_error);

  if (baseline.empty()) add_serial_twins(plan.runs, train_samples);
  choose_baselines(plan.runs, baseline);
  collect_warnings(plan, cpus);
  return plan;
}

}  // namespace lockstep
