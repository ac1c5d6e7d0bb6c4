// Logistic regression on the device: parameters in a flat buffer, optimizer state, a step state.
#pragma once

#include <cmath>

#include "kernels/logistic.h"
#include "kernels/op_fixture.h"

namespace lockstep::testing {

struct LogisticProblem {
  static constexpr std::uint64_t kSeed = 3;  // of the order
  static constexpr std::uint32_t kEpoch = 2;
  static constexpr std::int64_t kBatch = 1;  // the global batch of the first step

  ParameterLayout layout;
  std::vector<float> values;
  LogisticModel model;
  ParameterPointers parameters;
  LogisticScratch scratch;
  StepPointers step;

  LogisticProblem(const Samples& samples, const Normalization& normalization,
                  const OptimizerConfig& optimizer = {})
      : layout(make_logistic(samples.split.features.columns, 2)), values(layout.size()) {
    const std::int64_t columns = samples.split.features.columns;
    model.data = resident(samples);
    model.scale = device_scale(normalization);
    model.weight = layout.weight(0).offset;
    model.bias = layout.bias(0).offset;
    const std::vector<float> weights =
        normals(columns, 8, 1.0f / std::sqrt(static_cast<float>(columns)));
    std::copy(weights.begin(), weights.end(), values.begin() + model.weight);
    values[model.bias] = 0.25f;
    std::vector<float> state(layout.size());  // zero where padding is
    std::fill_n(state.begin() + model.weight, columns, 0.5f);
    state[model.bias] = 0.25f;
    parameters.values = to_device(values);
    parameters.gradients = to_device(std::vector<float>(layout.size(), 99.0f));
    parameters.state0 = to_device(state);
    parameters.state1 = to_device(state);
    model.values = parameters.values;
    scratch.gradients = device_array<float>(logistic_scratch_floats(columns));
    scratch.loss = to_device(std::vector<LossScratch>(1));
    step.state = step_state(kSeed, kEpoch, kBatch);
    std::vector<UpdateScalars> scalars;
    for (std::int64_t k = 0; k < 4; ++k) scalars.push_back(update_scalars(optimizer, 0.01, k, 16));
    step.scalars = to_device(scalars);
  }
};

}  // namespace lockstep::testing
