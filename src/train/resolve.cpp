// From what the user asked to what is run: every default that depends on the data or on the number
// of workers is chosen here. The refusals are in check_config.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "comm/device_group.h"
#include "lockstep/config.h"
#include "lockstep/error.h"
#include "train/check_config.h"
#include "train/gemm_choice.h"
#include "train/local_place.h"

namespace lockstep {

namespace {

constexpr int64_t kDefaultBatch = 64;

Strategy choose_strategy(const Config& config, int ranks) {
  if (config.strategy) return *config.strategy;
  return config.workers * ranks > 1 ? Strategy::sync : Strategy::serial;
}

// A batch beyond the data set is the data set: every step takes all of it.
void choose_batch(Resolved& resolved, int64_t samples) {
  const Config& config = resolved.config;
  int64_t global = config.batch_size.value_or(kDefaultBatch);
  if (config.per_worker_batch) {
    const int64_t each = *config.per_worker_batch;
    global = each > samples ? samples + 1 : each * resolved.workers;
  }
  if (global > samples) {
    if (config.batch_size || config.per_worker_batch) {
      resolved.warnings.push_back(fmt::format(
          "the global batch is cut to the {} training samples: an epoch is one step", samples));
    }
    global = samples;
  }
  resolved.global_batch = global;
  resolved.per_worker_batch = (global + resolved.workers - 1) / resolved.workers;
}

// Goyal et al. 2017 scale the rate with the global batch. Under --batch-size the global batch does
// not grow with the workers, so there is nothing to make up for.
void choose_learning_rate_scale(Resolved& resolved) {
  const Config& config = resolved.config;
  const bool weak = config.per_worker_batch.has_value();
  if (config.scale_lr != ScaleLearningRate::none && !weak) {
    resolved.warnings.push_back(
        "--scale-lr changes nothing: under --batch-size the global batch does not grow with the "
        "workers (it does under --per-worker-batch)");
  } else if (config.scale_lr == ScaleLearningRate::linear) {
    resolved.learning_rate_scale = resolved.workers;
  } else if (config.scale_lr == ScaleLearningRate::sqrt) {
    resolved.learning_rate_scale = std::sqrt(static_cast<double>(resolved.workers));
  }
  if (config.schedule.warmup_epochs > 0.0 &&
      (config.scale_lr == ScaleLearningRate::none || !weak)) {
    resolved.warnings.push_back(
        "--warmup-epochs changes nothing: it leads from the learning rate to the scaled one, and "
        "nothing is scaled (--scale-lr with --per-worker-batch)");
  }
}

AllReduceAlgorithm algorithm_of(AllReduceChoice choice) {
  switch (choice) {
    case AllReduceChoice::ring: return AllReduceAlgorithm::ring;
    case AllReduceChoice::central: return AllReduceAlgorithm::central;
    case AllReduceChoice::automatic:
    case AllReduceChoice::direct: break;
  }
  return AllReduceAlgorithm::direct;
}

// One set of shared weights, each worker updating its own slice, moves the fewest bytes inside a
// process; what workers read of each other for it is chosen with the model (Run). Who names an
// all-reduce asks for replicas, who cuts gradients into buckets asks for gradients. All but the
// ring fold in rank order, which is what --deterministic promises.
void choose_communication(Resolved& resolved) {
  const Config& config = resolved.config;
  resolved.update = config.update;
  if (config.update == UpdateKind::automatic) {
    if (config.allreduce != AllReduceChoice::automatic) {
      resolved.update = UpdateKind::replicas;
    } else if (config.bucket_mb || config.overlap == Toggle::off || config.accumulate > 1) {
      resolved.update = UpdateKind::sliced;
    }
  }
  resolved.allreduce = algorithm_of(config.allreduce);
  if (config.deterministic && resolved.allreduce == AllReduceAlgorithm::ring) {
    resolved.allreduce = AllReduceAlgorithm::direct;
    resolved.warnings.push_back(
        "--deterministic folds gradients in rank order: --allreduce ring runs as direct");
  }
}

// GPUs share no memory: a replica each, and NCCL's all-reduce.
void choose_gpu_communication(const Config& config, Resolved& resolved) {
  if (!resolved.device.on_gpu()) return;
  resolved.update = UpdateKind::replicas;
  if (resolved.workers > 1 && nccl_version().empty()) {
    throw Error(ErrorKind::device,
                fmt::format("{} workers with --device {}: this build has no NCCL", resolved.workers,
                            config.device),
                "install NCCL (libnccl-dev) and build again, or train on one GPU");
  }
}

}  // namespace

Resolved resolve(const Config& config, int64_t train_samples, ProcessGroup& processes) {
  Resolved resolved;
  resolved.config = config;
  resolved.processes = &processes;
  resolved.ranks = std::max(processes.size(), config.ranks);
  check_ranges(config);
  resolved.strategy = choose_strategy(config, resolved.ranks);
  resolved.workers = config.workers * resolved.ranks;
  check_combinations(config, resolved.strategy, resolved.ranks);
  if (config.ranks > 1 && mpi_version().empty()) {
    throw Error(ErrorKind::device, "this build has no MPI, and starts no ranks",
                "install libopenmpi-dev and build again, or use threads: sync:N without @mpi");
  }
  check_workers_against_samples(config, resolved.ranks, train_samples);

  choose_batch(resolved, train_samples);
  choose_learning_rate_scale(resolved);
  choose_communication(resolved);
  resolved.device = choose_device(config.device, config.workers, local_place(processes));
  if (!resolved.device.on_gpu() && !processes.trains_on_cpus()) {
    throw Error(
        ErrorKind::usage,
        fmt::format("{} processes of torchrun on CPUs: there ranks are MPI's", processes.size()),
        fmt::format("use --device cuda, or mpirun -n {} lockstep ...", processes.size()));
  }
  choose_gpu_communication(config, resolved);
  const GpuSurvey survey = resolved.device.on_gpu() ? survey_gpus() : GpuSurvey{};
  const GemmChoice gemm = choose_gemm(config, resolved.device, survey);
  resolved.gemm = gemm.gemm;
  if (!gemm.warning.empty()) resolved.warnings.push_back(gemm.warning);
  if (!resolved.device.on_gpu() && config.data_placement != DataPlacement::automatic) {
    resolved.warnings.push_back(
        fmt::format("--data-placement {} changes nothing on the CPU: it places the data of GPUs "
                    "(--device cuda)",
                    to_string(config.data_placement)));
  }
  const bool cpu_ranks = resolved.ranks > 1 && !resolved.device.on_gpu();
  resolved.name = mode_name(resolved.strategy, resolved.workers, config.sync_every,
                            cpu_ranks ? "mpi" : resolved.device.name);
  return resolved;
}

}  // namespace lockstep
