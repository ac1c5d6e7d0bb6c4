#include "lockstep/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lockstep/error.h"

namespace lockstep {
namespace {

// base^exponent by squaring: multiplications only, so the same bits on every machine.
double power(double base, int64_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result *= base;
    base *= base;
  }
  return result;
}

void check_schedule(const ScheduleConfig& config) {
  if (!(config.warmup_epochs >= 0.0 && std::isfinite(config.warmup_epochs))) {
    throw Error(ErrorKind::usage,
                "--warmup-epochs " + std::to_string(config.warmup_epochs) + " is below 0",
                "give the length of the warm-up in epochs, for example --warmup-epochs 5");
  }
  if (config.kind == ScheduleKind::step && config.step_epochs < 1) {
    throw Error(ErrorKind::usage,
                "--schedule step: the period is " + std::to_string(config.step_epochs) +
                    " epochs, at least 1 is needed",
                "give a period of at least one epoch");
  }
}

}  // namespace

Schedule::Schedule(const ScheduleConfig& config, double learning_rate, double scale, int64_t epochs,
                   int64_t steps_per_epoch)
    : config_(config),
      learning_rate_(learning_rate),
      scale_(scale),
      epochs_(epochs),
      steps_per_epoch_(std::max<int64_t>(steps_per_epoch, 1)) {
  check_schedule(config);
}

double Schedule::at(int64_t step) const {
  const double peak = learning_rate_ * scale_;
  const double warmup_steps =
      std::round(config_.warmup_epochs * static_cast<double>(steps_per_epoch_));
  if (static_cast<double>(step) < warmup_steps) {
    return learning_rate_ + (peak - learning_rate_) * (static_cast<double>(step) / warmup_steps);
  }
  switch (config_.kind) {
    case ScheduleKind::constant: return peak;
    case ScheduleKind::step:
      return peak * power(config_.step_factor, step / steps_per_epoch_ / config_.step_epochs);
    case ScheduleKind::cosine: break;
  }
  // Loshchilov, Hutter 2017, without restarts, over what the warm-up left of the planned length.
  const double total = static_cast<double>(epochs_) * static_cast<double>(steps_per_epoch_);
  if (static_cast<double>(step) >= total) return 0.0;
  const double progress = (static_cast<double>(step) - warmup_steps) / (total - warmup_steps);
  return peak * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

UpdateRule update_rule(const OptimizerConfig& config) {
  if (config.kind != OptimizerKind::sgd) return UpdateRule::adam;
  if (config.momentum <= 0.0) return UpdateRule::sgd;
  return config.nesterov ? UpdateRule::nesterov : UpdateRule::momentum;
}

UpdateScalars update_scalars(const OptimizerConfig& config, double learning_rate, int64_t step,
                             int64_t count) {
  UpdateScalars scalars;
  scalars.learning_rate = static_cast<float>(learning_rate);
  scalars.gradient_scale = static_cast<float>(1.0 / static_cast<double>(count));
  scalars.beta1 = static_cast<float>(config.beta1);
  scalars.beta2 = static_cast<float>(config.beta2);
  scalars.epsilon = static_cast<float>(config.epsilon);
  if (config.kind == OptimizerKind::adamw) {
    scalars.decoupled_decay = static_cast<float>(learning_rate * config.weight_decay);
  } else {
    scalars.weight_decay = static_cast<float>(config.weight_decay);
  }
  if (config.kind == OptimizerKind::sgd) {
    scalars.momentum = static_cast<float>(config.momentum);
  } else {
    const double correction1 = 1.0 - power(config.beta1, step + 1);
    const double correction2 = 1.0 - power(config.beta2, step + 1);
    scalars.step_size = static_cast<float>(learning_rate / correction1);
    scalars.inverse_sqrt_correction2 = static_cast<float>(1.0 / std::sqrt(correction2));
  }
  return scalars;
}

}  // namespace lockstep
