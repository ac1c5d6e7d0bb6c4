#include "train/check_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lockstep/error.h"
#include "train/nearest.h"

namespace lockstep {

namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 24;  // units of one layer
constexpr int64_t kMaxEpochs = 1'000'000'000;    // times the steps of an epoch it fits 64 bits
constexpr double kNoLimit = std::numeric_limits<double>::max();

[[noreturn]] void refuse(const std::string& message, const std::string& remedy) {
  throw Error(ErrorKind::usage, message, remedy);
}

void check_integer(std::string_view option, int64_t value, int64_t low,
                   int64_t high = std::numeric_limits<int64_t>::max()) {
  if (value >= low && value <= high) return;
  const std::string range = high == std::numeric_limits<int64_t>::max()
                                ? fmt::format("a whole number from {} on", low)
                                : fmt::format("a whole number from {} to {}", low, high);
  refuse(fmt::format("--{} {}: out of range", option, value),
         fmt::format("give {} {}", option, range));
}

// Which ends of an interval belong to it.
enum class Ends { closed, open_below, open_above };

void check_real(std::string_view option, double value, double low, double high, Ends ends) {
  const bool above = ends == Ends::open_below ? value > low : value >= low;
  const bool below = ends == Ends::open_above ? value < high : value <= high;
  if (std::isfinite(value) && above && below) return;
  const char* from = ends == Ends::open_below ? "above" : "from";
  const std::string range = high == kNoLimit ? fmt::format("a number {} {}", from, low)
                            : ends == Ends::open_above
                                ? fmt::format("a number {} {} and below {}", from, low, high)
                                : fmt::format("a number {} {} to {}", from, low, high);
  refuse(fmt::format("--{} {}: out of range", option, value),
         fmt::format("give {} {}", option, range));
}

bool names_gpus(const Config& config) {
  return parse_device(config.device).kind == DeviceRequest::Kind::cuda;
}

void check_model(const ModelConfig& model) {
  const std::vector<std::string> known = {"logistic", "mlp", "cnn", "lenet"};
  if (std::ranges::find(known, model.model) == known.end()) {
    refuse(fmt::format("--model {}: no such model", model.model), suggestion(model.model, known));
  }
  for (const int64_t width : model.hidden) check_integer("hidden", width, 1, kMaxWidth);
  check_real("dropout", model.dropout, 0.0, 1.0, Ends::open_above);
}

void check_device(const Config& config) {
  if (config.model.precision == Precision::tf32 && !names_gpus(config)) {
    refuse("--precision tf32: a format of GPUs' tensor cores, not of CPUs",
           "use --precision fp32, or --device cuda");
  }
}

void check_optimizer(const OptimizerConfig& optimizer, const ScheduleConfig& schedule) {
  check_real("lr", optimizer.learning_rate, 0.0, kNoLimit, Ends::open_below);
  check_real("momentum", optimizer.momentum, 0.0, 1.0, Ends::open_above);
  check_real("weight-decay", optimizer.weight_decay, 0.0, kNoLimit, Ends::closed);
  check_real("beta1", optimizer.beta1, 0.0, 1.0, Ends::open_above);
  check_real("beta2", optimizer.beta2, 0.0, 1.0, Ends::open_above);
  check_real("epsilon", optimizer.epsilon, 0.0, kNoLimit, Ends::open_below);
  check_real("warmup-epochs", schedule.warmup_epochs, 0.0, kNoLimit, Ends::closed);
  const bool factor = schedule.step_factor > 0.0 && std::isfinite(schedule.step_factor);
  if (schedule.kind == ScheduleKind::step && (schedule.step_epochs < 1 || !factor)) {
    refuse(fmt::format("--schedule step:{}:{}: out of range", schedule.step_epochs,
                       schedule.step_factor),
           "give epochs from 1 on and a factor above 0, for example step:30:0.1");
  }
}

void check_run(const Config& config) {
  check_integer("epochs", config.epochs, 1, kMaxEpochs);
  if (config.batch_size) check_integer("batch-size", *config.batch_size, 1);
  if (config.per_worker_batch) check_integer("per-worker-batch", *config.per_worker_batch, 1);
  check_integer("accumulate", config.accumulate, 1, 1 << 16);
  check_integer("workers", config.workers, 1, kMaxWorkers);
  check_integer("threads", config.threads, 1, kMaxWorkers);
  check_integer("sync-every", config.sync_every.steps, 1);
  if (config.bucket_mb && (std::isnan(*config.bucket_mb) || *config.bucket_mb < 0.0)) {
    refuse(fmt::format("--bucket-mb {}: out of range", *config.bucket_mb),
           "give auto, inf, or a number from 0 on");
  }
  // Clocks count nanoseconds in 64 bits; this is more than 11 days.
  constexpr double kLongestWait = 1e6;
  check_real("comm-timeout", config.comm_timeout, 0.0, kLongestWait, Ends::open_below);
  check_real("init-timeout", config.init_timeout, 0.0, kLongestWait, Ends::open_below);
  check_integer("checkpoint-every", config.checkpoint_every.count, 0, kMaxEpochs);
  check_integer("eval-every", config.eval_every, 1);
  check_real("target-accuracy", config.target_accuracy, 0.0, 1.0, Ends::closed);
  check_real("target-loss", config.target_loss, 0.0, kNoLimit, Ends::closed);
  check_integer("patience", config.patience, 0);
}

// An option that means something under one strategy alone and was set under another.
void refuse_elsewhere(bool is_set, std::string_view option, Strategy strategy,
                      std::string_view belongs_to) {
  if (!is_set) return;
  refuse(fmt::format("--{} means nothing under --strategy {}", option, to_string(strategy)),
         fmt::format("leave it out, or use --strategy {}", belongs_to));
}

void check_strategy_options(const Config& config, Strategy strategy) {
  if (strategy != Strategy::local_sgd) {
    const bool period = config.sync_every.kind != SyncEvery::Kind::steps ||
                        config.sync_every.steps != SyncEvery{}.steps;
    refuse_elsewhere(period, "sync-every", strategy, "local-sgd");
    refuse_elsewhere(config.sync_state != SyncState::average, "sync-state", strategy, "local-sgd");
  }
  if (strategy != Strategy::sync) {
    refuse_elsewhere(config.bucket_mb.has_value(), "bucket-mb", strategy, "sync");
    refuse_elsewhere(config.overlap != Toggle::on, "overlap off", strategy, "sync");
    refuse_elsewhere(config.update != UpdateKind::automatic, "update", strategy, "sync");
  }
  if (strategy == Strategy::serial || strategy == Strategy::hogwild) {
    refuse_elsewhere(config.allreduce != AllReduceChoice::automatic, "allreduce", strategy,
                     "sync or local-sgd");
  }
  const bool shared = config.update == UpdateKind::sliced || config.update == UpdateKind::factors;
  if (shared && config.allreduce != AllReduceChoice::automatic) {
    refuse(fmt::format("--allreduce with --update {}: shared weights need no all-reduce",
                       to_string(config.update)),
           "leave out --allreduce, or use --update replicas");
  }
  if (config.update != UpdateKind::factors) return;
  if (config.bucket_mb || config.overlap == Toggle::off) {
    refuse("--bucket-mb and --overlap with --update factors: no gradients are exchanged",
           "leave them out, or use --update sliced");
  }
  if (config.accumulate > 1) {
    refuse("--accumulate with --update factors: parts have gradients of their own to add",
           "use --update sliced");
  }
  if (config.threads > 1) {
    refuse(fmt::format("--threads {} with --update factors: a worker's threads exchange theirs",
                       config.threads),
           fmt::format("use --workers {} alone, or --update sliced",
                       int64_t{config.workers} * config.threads));
  }
}

// What belongs to CPU threads alone, or to GPUs.
void check_gpu_options(const Config& config, Strategy strategy) {
  if (config.grad_dtype != GradientType::fp32) {
    refuse_elsewhere(strategy != Strategy::sync, "grad-dtype", strategy, "sync");
    if (!names_gpus(config)) {
      refuse("--grad-dtype bf16 without --device cuda: gradients between CPUs are float32",
             "leave it out, or use --device cuda");
    }
    if (config.deterministic) {
      refuse(
          "--grad-dtype bf16 with --deterministic: it promises the bits of serial, which "
          "rounded gradients do not give",
          "leave out one of them");
    }
  }
  if (!names_gpus(config)) return;
  const bool shared = config.update == UpdateKind::sliced || config.update == UpdateKind::factors;
  if (shared || config.allreduce != AllReduceChoice::automatic) {
    refuse(fmt::format("--{} with --device {}: GPUs share no memory, each has a replica and NCCL "
                       "sums their gradients",
                       shared ? "update" : "allreduce", config.device),
           "leave it out, or use --device cpu");
  }
  if (strategy == Strategy::hogwild) {
    refuse(fmt::format("--strategy hogwild with --device {}: its workers share one memory, which "
                       "GPUs do not",
                       config.device),
           "use --strategy sync or local-sgd, or --device cpu");
  }
  if (config.threads > 1) {
    refuse(fmt::format("--threads {} with --device {}: threads are the CPU workers'",
                       config.threads, config.device),
           "leave out --threads");
  }
}

// What belongs to the workers of one process.
void check_ranks(const Config& config, Strategy strategy, int ranks) {
  if (strategy == Strategy::serial) {
    refuse(fmt::format("--strategy serial with {} ranks: serial has one worker", ranks),
           "use --strategy sync or local-sgd, or start one process");
  }
  if (strategy == Strategy::hogwild) {
    refuse(fmt::format("--strategy hogwild with {} ranks: its workers share the memory of one "
                       "process",
                       ranks),
           "start one process with --workers, or use --strategy sync or local-sgd");
  }
  if (config.update == UpdateKind::factors) {
    refuse(fmt::format("--update factors with {} ranks: workers read each other's activations, "
                       "which are one process's",
                       ranks),
           "leave out --update, or start one process with --workers");
  }
  if (config.mpi_transport == MpiTransport::messages && config.update == UpdateKind::sliced) {
    refuse("--update sliced with --mpi-transport messages: its weights are shared memory",
           "use --update replicas, or --mpi-transport auto");
  }
}

void check_hogwild(const Config& config) {
  if (config.optimizer.kind != OptimizerKind::sgd) {
    refuse(fmt::format("--strategy hogwild with --optimizer {}: its moments are undefined when "
                       "workers update without locks",
                       to_string(config.optimizer.kind)),
           "use --optimizer sgd (momentum is each worker's own), or --strategy sync");
  }
  if (config.accumulate != 1) {
    refuse("--accumulate with --strategy hogwild: its workers apply every gradient at once",
           "leave out --accumulate, or use --strategy sync");
  }
}

void check_deterministic(const Config& config, Strategy strategy) {
  if (!config.deterministic) return;
  if (strategy == Strategy::hogwild || strategy == Strategy::local_sgd) {
    refuse(fmt::format("--deterministic with --strategy {}: it promises that workers compute "
                       "exactly what serial computes, which this strategy does not",
                       to_string(strategy)),
           "use --strategy serial or sync");
  }
}

void check_optimizer_options(const Config& config) {
  const OptimizerConfig& optimizer = config.optimizer;
  if (optimizer.kind != OptimizerKind::sgd && (optimizer.momentum > 0.0 || optimizer.nesterov)) {
    refuse(fmt::format("--{} with --optimizer {}: momentum belongs to sgd",
                       optimizer.nesterov ? "nesterov" : "momentum", to_string(optimizer.kind)),
           "leave it out (Adam's is --beta1), or use --optimizer sgd");
  }
  if (optimizer.nesterov && optimizer.momentum == 0.0) {
    refuse("--nesterov without --momentum", "add --momentum, for example 0.9");
  }
  if (config.schedule.warmup_epochs > static_cast<double>(config.epochs)) {
    refuse(fmt::format("--warmup-epochs {} is longer than --epochs {}",
                       config.schedule.warmup_epochs, config.epochs),
           "shorten the warm-up");
  }
}

void check_run_options(const Config& config) {
  if (config.batch_size && config.per_worker_batch) {
    refuse("--batch-size and --per-worker-batch are both given",
           "give one: the global batch, or each worker's");
  }
  if (!config.init.empty() && !config.resume.empty()) {
    refuse("--init and --resume are both given",
           "give one: --init starts from weights, --resume continues a run");
  }
  if (config.stop_at_target && config.target_accuracy == 0.0 && config.target_loss == 0.0) {
    refuse("--stop-at-target without a target", "add --target-accuracy or --target-loss");
  }
  if (config.out.empty() && config.checkpoint_every.count > 0) {
    refuse("--checkpoint-every without --out: there is nowhere to write to", "add --out DIR");
  }
  if (config.out.empty() && config.overwrite) {
    refuse("--overwrite without --out: there is nothing to overwrite", "add --out DIR");
  }
  if (config.data.test_fraction > 0.0 && !config.data.test_data.empty()) {
    refuse("--test-data and --test-fraction are both given", "give one");
  }
  if (config.model.model == "logistic" && config.model.dropout > 0.0) {
    refuse("--dropout with --model logistic: it has no hidden layer", "leave out --dropout");
  }
}

}  // namespace

void check_ranges(const Config& config) {
  check_integer("samples", config.data.samples, 0);
  check_real("test-fraction", config.data.test_fraction, 0.0, 1.0, Ends::open_above);
  check_model(config.model);
  check_optimizer(config.optimizer, config.schedule);
  check_device(config);
  check_run(config);
}

void check_combinations(const Config& config, Strategy strategy, int ranks) {
  check_gpu_options(config, strategy);
  if (ranks > 1) check_ranks(config, strategy, ranks);
  if (strategy == Strategy::serial && config.workers > 1) {
    refuse(
        fmt::format("--strategy serial with --workers {}: serial has one worker", config.workers),
        "use --strategy sync, or leave out --workers");
  }
  if (strategy == Strategy::hogwild) check_hogwild(config);
  check_strategy_options(config, strategy);
  check_deterministic(config, strategy);
  check_optimizer_options(config);
  check_run_options(config);
}

void check_workers_against_samples(const Config& config, int ranks, int64_t train_samples) {
  const int64_t workers = int64_t{config.workers} * ranks;
  if (workers <= train_samples) return;
  if (ranks == 1) {
    refuse(fmt::format("--workers {}: more workers than the {} training samples", config.workers,
                       train_samples),
           fmt::format("use at most --workers {}", train_samples));
  }
  refuse(fmt::format("{} ranks with --workers {}: more workers than the {} training samples", ranks,
                     config.workers, train_samples),
         fmt::format("start at most {} workers in all", train_samples));
}

}  // namespace lockstep
