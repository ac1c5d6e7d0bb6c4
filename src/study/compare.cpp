#include "study/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "lockstep/error.h"

namespace lockstep {

namespace {

RunStatus status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::diverged: return RunStatus::diverged;
    case ErrorKind::usage:
    case ErrorKind::device: return RunStatus::not_run;
    default: return RunStatus::failed;
  }
}

// What is known of a run that gave no result of its own.
RunResult empty_result(const PlannedRun& run, RunStatus status, const std::string& reason) {
  RunResult result;
  result.name = run.name;
  result.status = status;
  result.reason = reason;
  if (run.resolved) {
    result.strategy = to_string(run.resolved->strategy);
    result.device = run.resolved->device.name;
    result.emulated = run.resolved->device.emulated;
    result.workers = run.resolved->workers;
    result.ranks = run.resolved->ranks;
    result.threads = run.resolved->config.threads;
    result.precision = to_string(run.resolved->config.model.precision);
    result.deterministic = run.resolved->config.deterministic;
    result.global_batch = run.resolved->global_batch;
    result.per_worker_batch = run.resolved->per_worker_batch;
  }
  return result;
}

Resolved for_warm_up(Resolved resolved) {
  resolved.config.epochs = 1;
  resolved.config.schedule.warmup_epochs = std::min(resolved.config.schedule.warmup_epochs, 1.0);
  return resolved;
}

// The state of one comparison while it runs.
class Comparer {
 public:
  Comparer(const ComparePlan& plan, const Dataset& dataset, const CompareOptions& options,
           const CompareObserver& observer)
      : plan_(plan),
        dataset_(dataset),
        options_(options),
        observer_(observer),
        repetitions_(plan.runs.size()) {
    const auto able =
        std::ranges::count_if(plan.runs, [](const auto& r) { return r.resolved.has_value(); });
    position_.total = static_cast<int>(able) * (options.warmup + options.repeats);
  }

  Comparison run() {
    for (int pass = 0; pass < options_.warmup + options_.repeats; ++pass) {
      for (size_t i = 0; i < plan_.runs.size(); ++i) {
        if (can_go_on(i)) run_once(i, pass - options_.warmup + 1);
      }
    }
    return collect();
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load() != 0; }

  bool can_go_on(size_t i) const {
    if (!plan_.runs[i].resolved || stopped()) return false;
    return repetitions_[i].empty() || repetitions_[i].back().status == RunStatus::ok;
  }

  // `repeat` is below 1 in a warm-up.
  void run_once(size_t i, int repeat) {
    const PlannedRun& run = plan_.runs[i];
    position_.name = run.name;
    position_.repeat = std::max(repeat, 0);
    if (observer_.on_start) observer_.on_start(position_);
    RunResult result = train_once(run, repeat < 1);
    ++position_.done;
    if (repeat >= 1 || result.status != RunStatus::ok) repetitions_[i].push_back(std::move(result));
  }

  RunResult train_once(const PlannedRun& run, bool warm_up) {
    TrainObserver observer;
    observer.on_warning = observer_.on_warning;
    observer.on_progress = [this](const Progress& progress) {
      if (observer_.on_progress) observer_.on_progress(position_, progress);
    };
    try {
      const Resolved resolved = warm_up ? for_warm_up(*run.resolved) : *run.resolved;
      if (resolved.config.ranks > 1) {
        RunResult result = options_.on_ranks(resolved);
        result.name = run.name;
        return result;
      }
      const Model model =
          make_model(resolved.config.model, dataset_.features(), dataset_.classes, dataset_.image);
      RunResult result = train(resolved, dataset_, model, observer, options_.stop).result;
      result.name = run.name;
      return result;
    } catch (const Error& error) {
      return empty_result(run, status_of(error.kind()), error.what());
    }
  }

  Comparison collect() {
    Comparison comparison;
    for (size_t i = 0; i < plan_.runs.size(); ++i) {
      const PlannedRun& run = plan_.runs[i];
      if (repetitions_[i].empty()) {
        comparison.runs.push_back(
            empty_result(run, RunStatus::not_run, run.resolved ? "interrupted" : run.reason));
        continue;
      }
      comparison.runs.push_back(summarize(repetitions_[i]));
      if (const auto check = repeat_check(repetitions_[i])) comparison.checks.push_back(*check);
    }
    relate(plan_, comparison.runs);
    return comparison;
  }

  const ComparePlan& plan_;
  const Dataset& dataset_;
  const CompareOptions& options_;
  const CompareObserver& observer_;
  std::vector<std::vector<RunResult>> repetitions_;
  ComparePosition position_;
};

// Standard deviation over mean of the repetitions' times.
double relative_deviation(const std::vector<double>& seconds) {
  if (seconds.size() < 2) return 0.0;
  const double n = static_cast<double>(seconds.size());
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / n;
  double squares = 0.0;
  for (const double value : seconds) squares += (value - mean) * (value - mean);
  return mean > 0.0 ? std::sqrt(squares / (n - 1.0)) / mean : 0.0;
}

}  // namespace

Comparison compare(const ComparePlan& plan, const Dataset& dataset, const CompareOptions& options,
                   const CompareObserver& observer) {
  return Comparer(plan, dataset, options, observer).run();
}

RunResult summarize(const std::vector<RunResult>& repetitions) {
  for (const RunResult& result : repetitions) {
    if (result.status != RunStatus::ok) return result;
  }
  std::vector<const RunResult*> by_time;
  by_time.reserve(repetitions.size());
  for (const RunResult& result : repetitions) by_time.push_back(&result);
  std::ranges::stable_sort(by_time, {}, [](const RunResult* r) { return r->train_seconds; });

  RunResult summary = *by_time[(by_time.size() - 1) / 2];
  summary.repeats.clear();
  for (const RunResult& result : repetitions) {
    summary.repeats.push_back(result.train_seconds);
    summary.peak_memory_bytes = std::max(summary.peak_memory_bytes, result.peak_memory_bytes);
  }
  return summary;
}

void relate(const ComparePlan& plan, std::vector<RunResult>& runs) {
  for (size_t i = 0; i < runs.size(); ++i) {
    if (plan.runs[i].baseline >= 0) compare_with_baseline(runs[i], runs[plan.runs[i].baseline]);
  }
  compare_with_baselines(runs);
}

double speedup_deviation(const RunResult& run, const RunResult& baseline) {
  if (!run.speedup || run.repeats.size() < 2 || baseline.repeats.size() < 2) return 0.0;
  return *run.speedup *
         std::hypot(relative_deviation(run.repeats), relative_deviation(baseline.repeats));
}

std::optional<Check> repeat_check(const std::vector<RunResult>& repetitions) {
  if (repetitions.size() < 2 || !repetitions.front().deterministic) return std::nullopt;
  std::set<std::string> hashes;
  for (const RunResult& result : repetitions) {
    if (result.status != RunStatus::ok) return std::nullopt;
    hashes.insert(result.parameters_sha256);
  }
  const auto distinct = static_cast<double>(hashes.size());
  return Check{fmt::format("{}: repeats give the same parameters", repetitions.front().name),
               distinct == 1.0, distinct, 1.0};
}

}  // namespace lockstep
