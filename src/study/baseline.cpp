// Speedup against one baseline, with the efficiency and the serial fraction that would explain it;
// speedups against the baselines of CPU and GPU.
#include <string>

#include "lockstep/result.h"

namespace lockstep {

const char* to_string(RunStatus status) {
  switch (status) {
    case RunStatus::ok: return "ok";
    case RunStatus::interrupted: return "interrupted";
    case RunStatus::diverged: return "diverged";
    case RunStatus::failed: return "failed";
    case RunStatus::not_run: return "not_run";
  }
  return "failed";
}

void compare_with_baseline(RunResult& run, const RunResult& baseline) {
  const bool both_ran = run.status == RunStatus::ok && baseline.status == RunStatus::ok &&
                        run.train_seconds > 0.0 && baseline.train_seconds > 0.0;
  if (!both_ran) return;
  const double speedup = baseline.train_seconds / run.train_seconds;
  const double factor = static_cast<double>(run.workers) / baseline.workers;  // of world sizes
  run.baseline = baseline.name;
  run.speedup = speedup;
  run.efficiency = speedup / factor;
  if (factor <= 1.0) return;  // the serial fraction needs more workers than the baseline has
  const double serial_fraction = (1.0 / speedup - 1.0 / factor) / (1.0 - 1.0 / factor);
  run.karp_flatt = serial_fraction;
  if (serial_fraction > 0.0) run.amdahl_limit = 1.0 / serial_fraction;
}

namespace {

bool timed(const RunResult& run) {
  return run.status == RunStatus::ok && run.train_seconds > 0.0;
}

void keep_faster(const RunResult*& fastest, const RunResult& run) {
  if (fastest == nullptr || run.train_seconds < fastest->train_seconds) fastest = &run;
}

std::optional<double> times_faster(const RunResult& run, const RunResult* baseline) {
  if (baseline == nullptr) return std::nullopt;
  return baseline->train_seconds / run.train_seconds;
}

}  // namespace

Baselines find_baselines(const std::vector<RunResult>& runs, int64_t global_batch) {
  Baselines found;
  for (const RunResult& run : runs) {
    if (!timed(run) || run.global_batch != global_batch) continue;
    const bool alone = run.workers == 1;
    if (run.on_gpu()) {
      if (alone) keep_faster(found.gpu, run);
      continue;
    }
    keep_faster(found.best_cpu, run);
    if (alone && run.strategy == "serial" && run.threads == 1) keep_faster(found.serial, run);
  }
  return found;
}

void compare_with_baselines(std::vector<RunResult>& runs) {
  for (RunResult& run : runs) {
    if (!timed(run)) continue;
    const Baselines baselines = find_baselines(runs, run.global_batch);
    run.speedups = {times_faster(run, baselines.serial), times_faster(run, baselines.best_cpu),
                    times_faster(run, baselines.gpu)};
  }
}

}  // namespace lockstep
