// What a run measured: the structs behind the JSON document (README, "JSON").
// Times are seconds. What does not apply is std::nullopt and null in JSON, never 0 or NaN.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/backend.h"

namespace lockstep {

struct Evaluation {
  double loss = 0.0;      // mean over samples
  double accuracy = 0.0;  // fraction
};

struct EpochRecord {
  int64_t epoch = 0;           // 1-based
  double learning_rate = 0.0;  // of the epoch's last step
  double train_loss = 0.0;     // running means over the epoch, dropout on
  double train_accuracy = 0.0;
  std::optional<Evaluation> test;
  double seconds = 0.0;  // training alone
};

// Where one worker's training time went; the six sum to about train_seconds (without
// `communication`, of which `exposed_communication` is the part that compute did not hide).
struct PhaseSeconds {
  std::optional<double> compute;
  std::optional<double> communication;
  std::optional<double> exposed_communication;
  std::optional<double> synchronization;
  std::optional<double> data;
  std::optional<double> update;
  bool sampled = false;  // measured in some of the steps, and scaled up to all
};

struct CommunicationTotals {
  int64_t calls = 0;  // one worker's collectives
  int64_t calls_per_epoch = 0;
  int64_t bytes = 0;       // payload, summed over workers
  int64_t wire_bytes = 0;  // what the algorithm moves, summed over workers
};

// How many times faster a run trains than the honest baselines of both platforms, on the same job
// with the same global batch. Null where such a run is not among those compared.
struct Speedups {
  std::optional<double> serial;    // one CPU thread
  std::optional<double> best_cpu;  // the fastest run on CPUs
  std::optional<double> gpu;       // the fastest run on one GPU
};

enum class RunStatus { ok, interrupted, diverged, failed, not_run };

struct RunResult {
  std::string name;  // canonical mode string
  std::string strategy;
  std::string device = "cpu";
  bool emulated = false;
  int workers = 1;  // of all ranks together: the world size
  int ranks = 1;
  int threads = 1;
  std::string precision;
  bool deterministic = false;
  int64_t parameters = 0;
  RunStatus status = RunStatus::ok;
  std::string reason;  // where status is not ok
  int64_t global_batch = 0;
  int64_t per_worker_batch = 0;
  int64_t steps = 0;  // global batches done

  std::vector<EpochRecord> epochs;
  double train_seconds = 0.0;
  double samples_per_second = 0.0;
  double step_ms_median = 0.0, step_ms_p99 = 0.0;
  std::vector<double> repeats;   // train_seconds of each repetition
  double startup_seconds = 0.0;  // threads, memory, compilation of the step
  double load_seconds = 0.0;
  std::optional<double> transfer_seconds;  // on GPUs: copies that no step waits for
  std::optional<double> capture_seconds;   // on GPUs: making the steps that are then replayed
  double eval_seconds = 0.0;
  int64_t peak_memory_bytes = 0;
  std::optional<double> time_to_target;

  PhaseSeconds time;  // mean over workers
  std::vector<PhaseSeconds> workers_time;
  CommunicationTotals communication;
  std::vector<std::string> fused;   // phases that are null because they are fused
  std::vector<ProductChoice> gemm;  // a GPU's matrix products; empty where there are none

  // Filled by compare.
  std::optional<std::string> baseline;
  std::optional<double> speedup, efficiency, karp_flatt, amdahl_limit;
  Speedups speedups;

  std::optional<Evaluation> final_train, final_test;
  std::string parameters_sha256;

  // Strategy options that were in force, name and value, in the order to print.
  std::vector<std::pair<std::string, std::string>> strategy_options;

  bool on_gpu() const { return device.starts_with("cuda"); }
};

// One line of `checks` in the JSON document.
struct Check {
  std::string name;
  bool passed = false;
  double measured = 0.0;
  double limit = 0.0;
};

const char* to_string(RunStatus status);

// Speedup S = T_serial / T; efficiency S / W; Karp-Flatt serial fraction (1/S - 1/W) / (1 - 1/W)
// (Karp, Flatt 1990), undefined at W = 1; the Amdahl limit 1 / f for f > 0.
void compare_with_baseline(RunResult& run, const RunResult& baseline);

// The baselines of a global batch among `runs`, each null where there is none.
struct Baselines {
  const RunResult* serial = nullptr;    // the fastest of strategy serial on one CPU thread
  const RunResult* best_cpu = nullptr;  // the fastest on CPUs
  const RunResult* gpu = nullptr;       // the fastest on one GPU
};
Baselines find_baselines(const std::vector<RunResult>& runs, int64_t global_batch);

// Fills `speedups` of every run that ended well.
void compare_with_baselines(std::vector<RunResult>& runs);

}  // namespace lockstep
