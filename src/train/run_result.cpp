#include "train/run_result.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>

#include "comm/stopwatch.h"
#include "train/evaluate.h"

namespace lockstep {

namespace {

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

double percentile_ms(std::vector<float> seconds, double fraction) {
  if (seconds.empty()) return 0.0;
  const auto at = static_cast<size_t>(fraction * static_cast<double>(seconds.size() - 1));
  std::nth_element(seconds.begin(), seconds.begin() + at, seconds.end());
  return 1e3 * seconds[at];
}

std::optional<double> mean_of(const std::vector<Run::Slot>& slots,
                              std::optional<double> PhaseSeconds::*phase) {
  double sum = 0.0;
  for (const Run::Slot& slot : slots) {
    if (!(slot.measured.seconds.*phase)) return std::nullopt;
    sum += *(slot.measured.seconds.*phase);
  }
  return sum / static_cast<double>(slots.size());
}

PhaseSeconds mean_over_workers(const std::vector<Run::Slot>& slots) {
  PhaseSeconds mean;
  for (auto phase :
       {&PhaseSeconds::compute, &PhaseSeconds::communication, &PhaseSeconds::exposed_communication,
        &PhaseSeconds::synchronization, &PhaseSeconds::data, &PhaseSeconds::update}) {
    mean.*phase = mean_of(slots, phase);
  }
  mean.sampled =
      std::ranges::any_of(slots, [](const auto& slot) { return slot.measured.seconds.sampled; });
  return mean;
}

std::vector<std::string> fused_phases(const PhaseSeconds& time, int workers) {
  std::vector<std::string> fused;
  if (!time.compute) fused.push_back("compute");
  if (workers > 1 && !time.communication) fused.push_back("communication");
  if (!time.data) fused.push_back("data");
  if (!time.update) fused.push_back("update");
  return fused;
}

CommunicationTotals totals_of(const Run& run, double epochs_done) {
  CommunicationTotals totals;
  for (const Run::Slot& slot : run.slots) {
    totals.bytes += slot.measured.communication.bytes;
    totals.wire_bytes += slot.measured.communication.wire_bytes;
  }
  totals.calls = run.slots[0].measured.communication.calls;
  if (epochs_done > 0.0) {
    totals.calls_per_epoch = std::llround(static_cast<double>(totals.calls) / epochs_done);
  }
  return totals;
}

// "0.25", "inf"; with a note where it was found by measurement.
std::string bucket_name(const Run& run) {
  const double bytes = run.bucket_bytes;
  const std::string size = std::isinf(bytes) ? "inf" : fmt::format("{:.4g}", bytes / 1e6);
  return run.config.bucket_mb ? size : size + " (auto)";
}

// GPUs send each other slices, fold them in rank order and gather, where NCCL's own order of sums
// would not do.
std::string all_reduce_name(const Run& run) {
  if (!run.resolved.device.on_gpu()) return to_string(run.allreduce());
  return run.config.deterministic ? "nccl, folded in rank order" : "nccl";
}

void add_strategy_options(const Run& run, RunResult& result) {
  const Config& config = run.config;
  auto& options = result.strategy_options;
  if (run.resolved.strategy == Strategy::sync) {
    options.emplace_back("update", to_string(run.update));
    if (run.update == UpdateKind::replicas) options.emplace_back("allreduce", all_reduce_name(run));
    if (run.devices) options.emplace_back("grad_dtype", to_string(config.grad_dtype));
    const bool alone = run.resolved.device.on_gpu() && !run.devices;
    if (run.update != UpdateKind::factors && !alone) {
      options.emplace_back("overlap", config.overlap == Toggle::on ? "on" : "off");
      options.emplace_back("bucket_mb", bucket_name(run));
    }
  }
  if (run.resolved.strategy == Strategy::local_sgd) {
    options.emplace_back("sync_every", to_string(config.sync_every));
    options.emplace_back("sync_state",
                         config.sync_state == SyncState::average ? "average" : "private");
    options.emplace_back("allreduce", all_reduce_name(run));
  }
  if (run.resolved.ranks > 1 && !run.resolved.device.on_gpu()) {
    options.emplace_back("mpi_transport", run.by_messages() ? "messages" : "shared");
  }
  const bool sparse = run.layout.tensors().front().transposed;
  if (sparse) options.emplace_back("sparse_input", "on");
  if (const auto& set_up = run.slots[0].measured.set_up) {
    options.emplace_back("data_placement", to_string(set_up->data_placement));
  }
  if (config.accumulate > 1) options.emplace_back("accumulate", std::to_string(config.accumulate));
}

void describe(const Run& run, RunResult& result) {
  const Config& config = run.config;
  result.name = run.resolved.name;
  result.strategy = to_string(run.resolved.strategy);
  result.device = run.resolved.device.name;
  result.emulated = run.resolved.device.emulated;
  result.workers = run.resolved.workers;
  result.ranks = run.resolved.ranks;
  result.threads = config.threads;
  result.precision = to_string(config.model.precision);
  result.deterministic = config.deterministic;
  result.parameters = static_cast<int64_t>(run.layout.count());
  result.global_batch = run.resolved.global_batch;
  result.per_worker_batch = run.resolved.per_worker_batch;
  result.gemm = run.products;
  add_strategy_options(run, result);
}

}  // namespace

RunResult make_result(Run& run, std::span<const float> values, bool interrupted) {
  double seconds = 0.0;
  run.exchange(seconds);  // what workers published at their end
  RunResult result;
  describe(run, result);
  result.status = interrupted ? RunStatus::interrupted : RunStatus::ok;
  result.reason = interrupted ? "stopped by a signal" : run.book.stop_reason();
  const int64_t steps_before = run.start.epoch * run.steps_per_epoch + run.start.step;
  result.steps = run.reached.epoch * run.steps_per_epoch + run.reached.step;
  result.epochs = run.book.epochs();
  result.train_seconds = run.book.train_seconds() + run.interrupted_seconds;
  result.step_ms_median = percentile_ms(run.step_seconds, 0.5);
  result.step_ms_p99 = percentile_ms(run.step_seconds, 0.99);
  result.startup_seconds = run.startup_seconds;
  result.load_seconds = run.dataset.load_seconds;
  result.eval_seconds = run.eval_seconds;
  if (const auto& set_up = run.slots[0].measured.set_up) {
    result.transfer_seconds = set_up->transfer_seconds;
    result.capture_seconds = set_up->capture_seconds;
  }
  result.time_to_target = run.book.time_to_target();
  result.time = mean_over_workers(run.slots);
  for (const Run::Slot& slot : run.slots) result.workers_time.push_back(slot.measured.seconds);
  result.fused = fused_phases(result.time, run.resolved.workers);
  const auto steps_here = static_cast<double>(result.steps - steps_before);
  const auto per_epoch = static_cast<double>(run.steps_per_epoch);
  result.communication = totals_of(run, steps_here / per_epoch);
  if (run.trained_seconds > 0.0) {
    const double samples = steps_here / per_epoch * static_cast<double>(run.sampler.size());
    result.samples_per_second = samples / run.trained_seconds;
  }
  if (!interrupted) {
    const Clock::time_point start = Clock::now();
    const EvaluateOptions options{run.local_workers * run.config.threads, run.resolved.device};
    const auto evaluation = [&](const Split& split) {
      return evaluate_together(run.model, run.dataset.normalization, split, values, options,
                               run.processes);
    };
    result.final_train = evaluation(run.dataset.train);
    if (run.dataset.test) result.final_test = evaluation(*run.dataset.test);
    result.eval_seconds += seconds_between(start, Clock::now());
  }
  result.peak_memory_bytes = std::ranges::max(run.processes.all_gather(peak_memory_bytes()));
  result.parameters_sha256 = sha256_of(run.layout, values);
  return result;
}

}  // namespace lockstep
