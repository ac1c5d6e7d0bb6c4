#include "train/rounded_data.h"

#include "backend/bf16_ops.h"
#include "backend/logistic_step.h"
#include "data/memory.h"

namespace lockstep {

namespace {

size_t bytes_of_part(const Split& split) {
  const size_t values = static_cast<size_t>(split.features.rows * split.features.columns);
  return (values + kBf16Slack) * sizeof(Bf16);
}

Split rounded(const Split& split, const FeatureScaling& scaling) {
  const FeatureMatrix& from = split.features;
  auto buffer = std::make_shared<Buffer<Bf16>>(bytes_of_part(split) / sizeof(Bf16));
  Batch all;
  all.data = &split;
  all.contiguous = true;
  all.contiguous_range = {0, from.rows};
  round_features(all, scaling, {buffer->data(), {}});
  Split result;
  result.features = {FeatureType::bfloat16, from.rows, from.columns, buffer->data(), false, buffer};
  result.labels = split.labels;
  return result;
}

}  // namespace

bool reads_rounded_data(const Resolved& resolved, const Model& model) {
  return resolved.config.model.precision == Precision::bf16 && is_logistic(model) &&
         !resolved.device.on_gpu();
}

size_t rounded_bytes(const Dataset& dataset) {
  return bytes_of_part(dataset.train) + (dataset.test ? bytes_of_part(*dataset.test) : 0);
}

RoundedData rounded_data(const Dataset& dataset) {
  require_memory(dataset.name + ": its features in bf16",
                 static_cast<double>(rounded_bytes(dataset)));
  const FeatureScaling scaling(dataset.normalization, dataset.features());
  RoundedData result;
  result.train = rounded(dataset.train, scaling);
  if (dataset.test) result.test = rounded(*dataset.test, scaling);
  return result;
}

}  // namespace lockstep
