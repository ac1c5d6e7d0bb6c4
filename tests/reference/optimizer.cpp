#include "reference/optimizer.h"

#include <cmath>

namespace lockstep::reference {
namespace {

void sgd(const OptimizerConfig& config, double gradient, double& value, double& velocity) {
  velocity = config.momentum * velocity + gradient;
  const double direction =
      config.nesterov && config.momentum > 0.0 ? gradient + config.momentum * velocity : velocity;
  value -= config.learning_rate * direction;
}

void adam(const OptimizerConfig& config, int64_t t, double gradient, double& value, double& mean,
          double& variance) {
  mean = config.beta1 * mean + (1.0 - config.beta1) * gradient;
  variance = config.beta2 * variance + (1.0 - config.beta2) * gradient * gradient;
  const double corrected_mean = mean / (1.0 - std::pow(config.beta1, t));
  const double corrected_variance = variance / (1.0 - std::pow(config.beta2, t));
  value -= config.learning_rate * corrected_mean / (std::sqrt(corrected_variance) + config.epsilon);
}

}  // namespace

void update(const OptimizerConfig& config, int64_t step, int64_t count,
            std::span<const double> gradient_sums, std::span<double> values,
            OptimizerState& state) {
  state.first.resize(values.size());
  state.second.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    double gradient = gradient_sums[i] / static_cast<double>(count);
    if (config.kind == OptimizerKind::adamw) {
      values[i] -= config.learning_rate * config.weight_decay * values[i];
    } else {
      gradient += config.weight_decay * values[i];
    }
    if (config.kind == OptimizerKind::sgd) {
      sgd(config, gradient, values[i], state.first[i]);
    } else {
      adam(config, step + 1, gradient, values[i], state.first[i], state.second[i]);
    }
  }
}

}  // namespace lockstep::reference
