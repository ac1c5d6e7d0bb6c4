// Optimizers and learning-rate schedules. The update formulas are in lockstep/math.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/math.h"

namespace lockstep {

enum class OptimizerKind { sgd, adam, adamw };
enum class ScheduleKind { constant, cosine, step };
enum class ScaleLearningRate { none, linear, sqrt };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::sgd;
  double learning_rate = 0.1;
  double momentum = 0.0;  // SGD only, [0, 1)
  bool nesterov = false;
  double weight_decay = 0.0;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // Adam, AdamW

  // Floats of state a parameter: 0 (SGD), 1 (momentum), 2 (Adam, AdamW: mean, then variance).
  int state_count() const {
    if (kind != OptimizerKind::sgd) return 2;
    return momentum > 0.0 ? 1 : 0;
  }
};

// The formula of lockstep/math.h that a configuration asks for. AdamW is `adam` with
// UpdateScalars::decoupled_decay.
enum class UpdateRule { sgd, momentum, nesterov, adam };
UpdateRule update_rule(const OptimizerConfig& config);

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::constant;
  int64_t step_epochs = 0;   // step: every so many epochs ...
  double step_factor = 0.1;  // ... the rate is multiplied by this
  double warmup_epochs = 0;  // Goyal et al. 2017: linear from `lr` to the scaled rate, step by step
};

// The learning rate as a pure function of the step, the same in every mode.
class Schedule {
 public:
  // `scale` is the factor of --scale-lr (1 without); `epochs` the run's planned length.
  Schedule(const ScheduleConfig& config, double learning_rate, double scale, int64_t epochs,
           int64_t steps_per_epoch);
  // Rate of global step `step` (0-based, counted from the start of training).
  double at(int64_t step) const;

 private:
  ScheduleConfig config_;
  double learning_rate_;
  double scale_;
  int64_t epochs_;
  int64_t steps_per_epoch_;
};

// The constants of one update. `step` is 0-based; `count` the samples that the gradient sums over
// (at least 1). Bias corrections come from exact powers by squaring, not from libm.
UpdateScalars update_scalars(const OptimizerConfig& config, double learning_rate, int64_t step,
                             int64_t count);

}  // namespace lockstep
