// Optimizers in float64, from the papers' formulas and the configuration alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/optimizer.h"

namespace lockstep::reference {

struct OptimizerState {
  std::vector<double> first;   // velocity, or mean
  std::vector<double> second;  // variance
};

// Step `step` (0-based) with sums of gradients over `count` samples.
void update(const OptimizerConfig& config, int64_t step, int64_t count,
            std::span<const double> gradient_sums, std::span<double> values, OptimizerState& state);

}  // namespace lockstep::reference
