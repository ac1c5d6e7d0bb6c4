// The float64 oracle's loss of given logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/network.h"

namespace lockstep::testing {

// A network whose only layer passes its input through. `logits` is row-major [batch.size(),
// columns]; labels are the batch's.
inline reference::Result loss_oracle(const Batch& batch, const std::vector<float>& logits,
                                     int64_t columns, Loss loss) {
  Split split;
  for (int64_t i = 0; i < batch.size(); ++i) {
    split.labels.push_back(batch.data->labels[batch.sample(i)]);
  }
  split.features.rows = batch.size();
  split.features.columns = columns;
  split.features.data = logits.data();
  Batch rows;
  rows.data = &split;
  rows.contiguous = true;
  rows.contiguous_range = {0, batch.size()};
  Model model;
  model.inputs = columns;
  model.classes = static_cast<int>(columns);
  model.layers = {Linear{columns, columns, Activation::none}};
  model.loss = loss;
  const ParameterLayout layout(model);
  std::vector<double> identity(layout.size(), 0.0);
  for (int64_t j = 0; j < columns; ++j) identity[layout.weight(0).offset + j * columns + j] = 1.0;
  return reference::run(model, layout, identity, rows, {}, reference::DropoutMode::off, 0);
}

// The gradient with respect to logit j of row i.
inline double loss_gradient(const reference::Result& result, int64_t i, int64_t j, int32_t label,
                            Loss loss) {
  const reference::Table& logits = result.logits;
  if (loss == Loss::binary_cross_entropy) return 1.0 / (1.0 + std::exp(-logits.at(i, 0))) - label;
  double largest = logits.at(i, 0), sum = 0.0;
  for (int64_t k = 0; k < logits.columns; ++k) largest = std::max(largest, logits.at(i, k));
  for (int64_t k = 0; k < logits.columns; ++k) sum += std::exp(logits.at(i, k) - largest);
  return std::exp(logits.at(i, j) - largest) / sum - (j == label);
}

}  // namespace lockstep::testing
