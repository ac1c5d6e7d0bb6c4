#include "train/sparse_input.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "backend/gather.h"
#include "backend/logistic_step.h"
#include "backend/sparse_product.h"
#include "lockstep/error.h"

namespace lockstep {

namespace {

// Measured: a listed multiplication costs up to 1.6 dense ones, and lists are to be made.
constexpr double kMostFill = 0.5;
// Fewer outputs leave a tile's vectors partly empty.
constexpr int64_t kFewestOutputs = 64;

// Fours of rows or columns of which any is not zero.
double fill_of(const SparseQuads& list) {
  const auto listed = static_cast<double>(list.ends.empty() ? 0 : list.ends.back());
  return listed / static_cast<double>(quads_of(list.rows) * list.columns);
}

int64_t first_outputs(const Model& model) {
  for (const Layer& layer : model.layers) {
    if (const auto* linear = std::get_if<Linear>(&layer)) return linear->outputs;
  }
  return 0;
}

}  // namespace

double input_fill(const Dataset& dataset) {
  constexpr int64_t kMostSamples = 1024;
  constexpr int64_t kGroup = 64;  // samples looked at together
  const int64_t samples = dataset.train.size();
  const int64_t features = dataset.features();
  const int64_t taken = std::min(samples, kMostSamples);
  const FeatureScaling scaling(dataset.normalization, features);
  const int64_t stride = (features + 15) / 16 * 16;
  Buffer<float> rows(kGroup * stride);
  SparseQuads by_sample(kGroup, features), by_feature(features, kGroup);
  double fill = 0.0;
  for (int64_t first = 0; first < taken; first += kGroup) {
    const int64_t count = std::min(kGroup, taken - first);
    std::vector<int64_t> group;
    for (int64_t i = first; i < first + count; ++i) group.push_back(i * samples / taken);
    Batch batch;
    batch.data = &dataset.train;
    batch.samples = group;
    gather(batch, scaling, rows.data(), stride);
    const ConstMatrix view{rows.data(), count, features, stride};
    list_rows(view, by_sample);
    list_columns(view, 0, features, by_feature);
    fill += (fill_of(by_sample) + fill_of(by_feature)) / 2 * static_cast<double>(count);
  }
  return taken > 0 ? fill / static_cast<double>(taken) : 1.0;
}

FirstWeight choose_first_weight(const Resolved& resolved, const Dataset& dataset,
                                const Model& model) {
  const Config& config = resolved.config;
  const bool possible = config.model.precision == Precision::fp32 && !is_logistic(model) &&
                        !model.convolutional() && !resolved.device.on_gpu();
  switch (config.sparse_input) {
    case SparseInput::off: return FirstWeight::outputs_first;
    case SparseInput::on:
      if (possible) return FirstWeight::inputs_first;
      throw Error(ErrorKind::usage,
                  "--sparse-input on: it is for MLPs and softmax regression on CPUs in float32",
                  "leave it out");
    case SparseInput::automatic: break;
  }
  const bool worth_it = possible && first_outputs(model) >= kFewestOutputs;
  return worth_it && input_fill(dataset) <= kMostFill ? FirstWeight::inputs_first
                                                      : FirstWeight::outputs_first;
}

}  // namespace lockstep
