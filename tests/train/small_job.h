// A small classification job in memory, and shorthand to train it under a mode.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "lockstep/buffer.h"
#include "lockstep/rng.h"
#include "lockstep/trainer.h"

namespace lockstep::testing {

// Gaussian-like clusters, one a class, that an MLP separates well in a few epochs.
inline Split make_split(int64_t rows, int64_t columns, int classes, uint64_t seed) {
  auto buffer = std::make_shared<Buffer<float>>(static_cast<size_t>(rows * columns));
  const RandomStream noise{seed, Purpose::synthetic_features, 0, 0};
  const RandomStream centers{99, Purpose::synthetic_rule, 0, 0};
  Split split;
  split.labels.resize(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    const int label = static_cast<int>(row * 7 % classes);
    split.labels[row] = label;
    for (int64_t j = 0; j < columns; ++j) {
      const auto unit = static_cast<uint32_t>(j);
      const float center = unit_float(centers.word(static_cast<uint64_t>(label), unit)) - 0.5f;
      const float jitter = unit_float(noise.word(static_cast<uint64_t>(row), unit)) - 0.5f;
      (*buffer)[row * columns + j] = 2.0f * center + 1.5f * jitter;
    }
  }
  split.features = {FeatureType::float32, rows, columns, buffer->data(), false, buffer};
  return split;
}

inline Dataset make_dataset(int64_t rows = 203, int64_t columns = 13, int classes = 4) {
  Dataset dataset;
  dataset.name = "clusters";
  dataset.train = make_split(rows, columns, classes, 1);
  dataset.test = make_split(rows / 4, columns, classes, 2);
  dataset.classes = classes;
  for (int i = 0; i < classes; ++i) dataset.class_names.push_back(std::to_string(i));
  return dataset;
}

inline Config small_config() {
  Config config;
  config.model.hidden = {17, 9};
  config.optimizer.learning_rate = 0.05;
  config.epochs = 3;
  config.batch_size = 24;
  return config;
}

// The job and what to change of it.
using Change = std::function<void(Config&)>;

inline TrainedModel train_small(const Dataset& dataset, const Change& change,
                                const Checkpoint* resume = nullptr,
                                const TrainObserver& observer = {},
                                const std::atomic<int>* stop = nullptr) {
  Config config = small_config();
  change(config);
  const Model model = make_model(config.model, dataset.features(), dataset.classes);
  return train(resolve(config, dataset.train.size()), dataset, model, observer, stop, resume);
}

inline void expect_close(std::span<const float> a, std::span<const float> b, double tolerance) {
  double worst = 0.0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max<double>(worst, std::abs(a[i] - b[i]));
  EXPECT_LE(worst, tolerance);
}

}  // namespace lockstep::testing
