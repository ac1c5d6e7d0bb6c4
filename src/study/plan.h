// Which runs a comparison consists of: one for each mode, the serial baselines that weak scaling
// needs, and the reasons of those that cannot run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/config.h"

namespace lockstep {

// A mode that was asked for, and the whole configuration of its run.
struct ModeRequest {
  std::string name;  // of its row
  Config config;
};

struct PlannedRun {
  std::string name;
  std::optional<Resolved> resolved;  // absent: it cannot run ...
  std::string reason;                // ... because of this
  int baseline = -1;                 // index of the run that it is measured against; -1: none
};

struct ComparePlan {
  std::vector<PlannedRun> runs;
  std::vector<std::string> warnings;
};

// The modes that every machine with `cpus` CPUs can run: serial, and each parallel strategy on 2
// and on all of them.
std::vector<std::string> default_modes(int cpus);

// Gives a mode without a number of workers each of `workers`: {"serial", "sync"} x {1, 2} becomes
// serial, sync:1, sync:2. Without `workers` it keeps the strategy's default, every mode as it is.
std::vector<std::string> with_workers(const std::vector<std::string>& modes,
                                      const std::vector<int>& workers);

// `base` under `mode`. Options of `base` that mean nothing under the mode's strategy are dropped:
// a comparison is given the options of all its modes at once.
Config config_for_mode(const Config& base, const Mode& mode);

// Resolves each request; one that cannot run keeps its reason. `baseline` names the row to measure
// against; empty: serial, where there is one. Under --per-worker-batch each mode is measured
// against a serial run of its own global batch, which is added. Throws Error where nothing at all
// can run, or where `baseline` is not among the modes.
ComparePlan plan_comparison(const std::vector<ModeRequest>& requests, const std::string& baseline,
                            int64_t train_samples, int cpus);

}  // namespace lockstep
