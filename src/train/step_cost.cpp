#include "train/step_cost.h"

#include "lockstep/backend.h"
#include "lockstep/buffer.h"
#include "train/step_options.h"

namespace lockstep {

std::optional<StepCost> step_cost(const Resolved& resolved, const Dataset& dataset,
                                  const Model& model) {
  if (!resolved.device.on_gpu()) return std::nullopt;
  const Config& config = resolved.config;
  const ParameterLayout layout(model);
  Buffer<float> values(layout.size());
  Buffer<float> state(layout.size() * config.optimizer.state_count());
  const Sampler sampler(dataset.train.size(), config.seed, config.data.shuffle);

  const StepMemory memory{values.span(), {}, state.span()};
  const auto backend = make_backend(resolved.device, 0);
  const auto step =
      backend->compile(model, layout, dataset.normalization, memory, step_options(resolved));
  EpochStep* const epochs = step->epoch_step();
  if (!epochs) return std::nullopt;
  EpochJob job;
  job.data = &dataset.train;
  job.sampler = &sampler;
  job.global_batch = resolved.global_batch;
  job.world_size = resolved.workers;
  epochs->prepare(job);
  return epochs->cost();
}

StepFloor step_floor(const StepCost& cost, const Gpu& gpu) {
  constexpr double kStage = 1.3e-6;  // between dependent kernels of a graph, measured on an H200
  constexpr double kMega = 1e6, kBitsPerByte = 8.0;
  constexpr double kTransfersPerClock = 2.0;
  const double lanes = gpu.major == 7 || (gpu.major == 8 && gpu.minor == 0) ? 64.0 : 128.0;
  const double bandwidth =
      kTransfersPerClock * gpu.memory_clock_mhz * kMega * gpu.memory_bus_bits / kBitsPerByte;
  const double peak = 2.0 * lanes * gpu.multiprocessors * gpu.clock_mhz * kMega;
  const double bytes = cost.bytes_read + cost.bytes_written;
  return {.latency = kStage * static_cast<double>(cost.stages),
          .memory = bandwidth > 0.0 ? bytes / bandwidth : 0.0,
          .arithmetic = peak > 0.0 ? cost.flop / peak : 0.0};
}

}  // namespace lockstep
