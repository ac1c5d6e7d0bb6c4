// Trains one job under several modes, their repetitions interleaved, so that a slow minute of the
// machine falls on all of them.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/dataset.h"
#include "lockstep/result.h"
#include "lockstep/trainer.h"
#include "study/plan.h"

namespace lockstep {

struct CompareOptions {
  int repeats = 3;  // timed runs of each mode
  int warmup = 1;   // untimed runs of one epoch before them
  const std::atomic<int>* stop = nullptr;
  // Trains a mode of several ranks, which are other processes.
  std::function<RunResult(const Resolved&)> on_ranks;
};

// What is being run, for a progress line.
struct ComparePosition {
  std::string name;
  int repeat = 0;  // 1-based; 0 while warming up
  int done = 0;    // runs finished, of
  int total = 0;
};

struct CompareObserver {
  std::function<void(const ComparePosition&)> on_start;
  std::function<void(const ComparePosition&, const Progress&)> on_progress;
  std::function<void(const std::string&)> on_warning;
};

struct Comparison {
  std::vector<RunResult> runs;  // one for each planned run, in its order
  std::vector<Check> checks;
};

// Runs the plan. A run that fails is a result with its status and reason, and the others go on; an
// interruption ends all.
Comparison compare(const ComparePlan& plan, const Dataset& dataset, const CompareOptions& options,
                   const CompareObserver& observer);

// One result of several repetitions (at least one): that with the median training time (of an even
// number the faster of the two in the middle), `repeats` those of all. Where one did not succeed,
// it is the result.
RunResult summarize(const std::vector<RunResult>& repetitions);

// Fills speedup and the like from each run's planned baseline, and the speedups against those of
// CPU and GPU.
void relate(const ComparePlan& plan, std::vector<RunResult>& runs);

// The standard deviation of `run.speedup`, from the spread of both runs' repetitions; 0 where
// either has only one.
double speedup_deviation(const RunResult& run, const RunResult& baseline);

// What --deterministic promises of repeated runs: the same parameters, bit for bit. Nothing where
// the run is not deterministic or was not repeated.
std::optional<Check> repeat_check(const std::vector<RunResult>& repetitions);

}  // namespace lockstep
