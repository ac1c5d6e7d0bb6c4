// The error of a run whose loss is not finite.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "lockstep/backend.h"
#include "lockstep/error.h"
#include "lockstep/parameters.h"

namespace lockstep {

struct BadStep {
  int64_t step = 0;  // 0-based, since training began
  int64_t steps_per_epoch = 1;
  double loss = 0.0;
  double learning_rate = 0.0;
};

// `weights`: the first tensor that is not finite, or the largest value; empty where nobody knows
// them as they were before the step.
Error diverged(const BadStep& bad, const std::string& weights = {});

// "the weights before it: 3 of the 640 values of layers.0.weight are not finite". `summaries` are
// those of layout.tensors().
std::string weights_in_words(const ParameterLayout& layout,
                             std::span<const ValueSummary> summaries);

}  // namespace lockstep
