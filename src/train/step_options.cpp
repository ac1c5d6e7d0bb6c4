#include "train/step_options.h"

#include <algorithm>

#include "train/run.h"

namespace lockstep {

StepOptions step_options(const Resolved& resolved) {
  const Config& config = resolved.config;
  StepOptions options;
  options.max_batch = std::max(resolved.per_worker_batch, Run::kEvalBlock);
  options.optimizer = config.optimizer;
  options.precision = config.model.precision;
  options.gemm = resolved.gemm;
  options.train_batch = resolved.per_worker_batch;
  options.seed = config.seed;
  options.accumulate = config.accumulate;
  options.data_placement = config.data_placement;
  options.threads = config.threads;
  return options;
}

}  // namespace lockstep
