// lockstep compare: one job under several modes.
#include <fmt/format.h>

#include <set>

#include "cli/job.h"
#include "cli/progress.h"
#include "cli/rank_launcher.h"
#include "cli/signals.h"
#include "cli/toml_file.h"
#include "lockstep/error.h"
#include "lockstep/trainer.h"
#include "report/format.h"
#include "report/reports.h"
#include "study/compare.h"
#include "study/plan.h"
#include "train/machine.h"
#include "train/version.h"

namespace lockstep::cli {

namespace {

std::string canonical_name(const Config& config) {
  if (config.ranks > 1) {
    return mode_name(*config.strategy, config.ranks, config.sync_every, "mpi");
  }
  return mode_name(*config.strategy, config.workers, config.sync_every, config.device);
}

ModeRequest request_of(const Settings& settings, const std::string& text) {
  ModeRequest request;
  request.config = config_for_mode(settings.config, parse_mode(text));
  request.name = canonical_name(request.config);
  return request;
}

// A [[mode]] table: its own options over those of all modes. Without a name of its own, its row's
// name tells them.
ModeRequest request_of(const Settings& settings, const ModeTable& table) {
  Settings own = settings;
  own.config = config_for_mode(settings.config, parse_mode(table.mode));
  GivenValues values;
  std::string suffix;
  for (const auto& [key, text] : table.options) {
    values.push_back({key, text, fmt::format("[[mode]] {}: {}", table.mode, key)});
    suffix += fmt::format(" {}={}", key, text);
  }
  apply_values(values, own);
  return {table.name.empty() ? canonical_name(own.config) + suffix : table.name, own.config};
}

std::vector<ModeRequest> requests_of(const Settings& settings, int cpus) {
  std::vector<std::string> modes = settings.modes;
  if (modes.empty() && settings.mode_tables.empty()) {
    modes = settings.workers_list.empty()
                ? default_modes(cpus)
                : std::vector<std::string>{"serial", "sync", "hogwild", "local-sgd"};
  }
  std::vector<ModeRequest> requests;
  for (const std::string& mode : with_workers(modes, settings.workers_list)) {
    requests.push_back(request_of(settings, mode));
  }
  for (const ModeTable& table : settings.mode_tables) {
    requests.push_back(request_of(settings, table));
  }
  return requests;
}

std::string label_of(const ComparePosition& position) {
  const std::string what =
      position.repeat == 0 ? "warm-up" : fmt::format("run {}", position.repeat);
  return fmt::format("[{}/{}] {} {}", position.done + 1, position.total, position.name, what);
}

CompareObserver observer_of(Session& session) {
  CompareObserver observer;
  observer.on_warning = [&session, seen = std::set<std::string>()](const std::string& w) mutable {
    if (seen.insert(w).second) session.warn(w);
  };
  observer.on_start = [&session](const ComparePosition& position) {
    if (!session.console.shows_progress()) session.console.note(label_of(position));
  };
  observer.on_progress = [&session](const ComparePosition& position, const Progress& progress) {
    if (!session.console.shows_progress()) return;
    session.console.progress(progress_line(label_of(position), progress, -1.0, terminal_width(80)));
  };
  return observer;
}

// A comparison fails only where nothing ran; its rows tell of the others.
int conclude(Session& session, const Comparison& comparison) {
  bool interrupted = false, diverged = false, failed = false;
  for (const RunResult& run : comparison.runs) {
    session.document.runs.push_back(json_of(run));
    interrupted |= run.status == RunStatus::interrupted;
    diverged |= run.status == RunStatus::diverged;
    failed |= run.status == RunStatus::failed;
  }
  for (const Check& check : comparison.checks) {
    session.document.checks.push_back(json_of(check));
    failed |= !check.passed;
  }
  session.print(
      compare_report(comparison.runs, session.settings.published,
                     platform_report(comparison.runs, describe_machine(), survey_gpus())));
  if (interrupted || stop_signal().load() != 0) {
    session.document.status = "interrupted";
    session.console.note("interrupted: the table shows what was done");
    return 128 + stop_signal().load();
  }
  if (diverged) {
    session.document.status = "diverged";
    return exit_code(ErrorKind::diverged);
  }
  if (failed) session.document.status = "failed";
  return failed ? exit_code(ErrorKind::runtime) : 0;
}

std::string dry_run_report(const Settings& settings, const ComparePlan& plan) {
  std::string text = write_toml(settings, kTraining, "the resolved configuration");
  text += "\n# modes\n";
  for (const PlannedRun& run : plan.runs) {
    text += run.resolved ? fmt::format("#   {}: global batch {}, {} a worker\n", run.name,
                                       run.resolved->global_batch, run.resolved->per_worker_batch)
                         : fmt::format("#   {}: not run: {}\n", run.name, run.reason);
  }
  return text;
}

}  // namespace

int compare_command(Session& session) {
  load_settings(session);
  const Settings& settings = session.settings;
  const int cpus = usable_cpus();
  const std::vector<ModeRequest> requests = requests_of(settings, cpus);
  session.document.config = config_json(settings, kTraining);
  if (!settings.published.is_null()) session.document.more["published"] = settings.published;

  const Dataset dataset = load_job_data(session);
  const ComparePlan plan = plan_comparison(requests, settings.baseline, dataset.train.size(), cpus);
  for (const std::string& warning : plan.warnings) session.warn(warning);
  if (settings.dry_run) {
    session.print(dry_run_report(settings, plan));
    return 0;
  }
  if (!settings.config.out.empty()) {
    const std::string comment = fmt::format(
        "lockstep {}: the configuration of this comparison; `lockstep compare FILE` runs it again",
        kVersion);
    session.folder = std::make_unique<ResultFolder>(
        settings.config.out, write_toml(settings, kTraining, comment),
        ResultFolder::Terms{settings.config.overwrite, false});
  }
  const Model model =
      make_model(settings.config.model, dataset.features(), dataset.classes, dataset.image);
  session.console.note(fmt::format("model: {}, {} parameters; {}, {} epochs, seed {}",
                                   describe_model(model), format_integer(model.parameter_count()),
                                   to_string(settings.config.optimizer.kind),
                                   settings.config.epochs, settings.config.seed));
  for (const PlannedRun& run : plan.runs) {
    if (run.resolved) require_memory(*run.resolved, dataset, model);
  }
  const CompareOptions options{
      settings.repeats, settings.warmup, &stop_signal(),
      [&](const Resolved& resolved) { return train_on_ranks(settings, resolved, stop_signal()); }};
  const PollsStopSignal polls;
  const Comparison comparison = compare(plan, dataset, options, observer_of(session));
  session.console.clear_progress();
  return conclude(session, comparison);
}

}  // namespace lockstep::cli
