// Speedup, efficiency and the serial fraction that would explain them.
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
  const double factor = static_cast<double>(run.workers) * run.ranks /
                        (static_cast<double>(baseline.workers) * baseline.ranks);
  run.baseline = baseline.name;
  run.speedup = speedup;
  run.efficiency = speedup / factor;
  if (factor <= 1.0) return;  // the serial fraction needs more workers than the baseline has
  const double serial_fraction = (1.0 / speedup - 1.0 / factor) / (1.0 - 1.0 / factor);
  run.karp_flatt = serial_fraction;
  if (serial_fraction > 0.0) run.amdahl_limit = 1.0 / serial_fraction;
}

}  // namespace lockstep
