// Logistic regression on features that are stored as bf16, on any CPU.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/bf16.h"
#include "lockstep/data.h"
#include "small_job.h"
#include "train/rounded_data.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::train_small;

Dataset normalised_dataset() {
  Dataset dataset = make_dataset(300, 20, 2);
  dataset.normalization.kind = Normalize::standard;
  for (int j = 0; j < 20; ++j) {
    dataset.normalization.scale.push_back(0.5f + 0.1f * static_cast<float>(j));
    dataset.normalization.offset.push_back(0.05f * static_cast<float>(j));
  }
  return dataset;
}

void logistic(Config& c) {
  c.model.model = "logistic";
  c.optimizer.learning_rate = 0.3;
}

TrainedModel train_logistic(const Dataset& dataset, Precision precision, const Change& more = {}) {
  return train_small(dataset, [&](Config& c) {
    logistic(c);
    c.model.precision = precision;
    if (more) more(c);
  });
}

TEST(RoundedData, FeaturesAreNormalisedInFloat32AndRoundedOnce) {
  const Dataset dataset = normalised_dataset();
  const RoundedData rounded = rounded_data(dataset);
  const FeatureMatrix& features = rounded.train.features;
  ASSERT_EQ(features.type, FeatureType::bfloat16);
  ASSERT_EQ(features.rows, dataset.train.size());
  EXPECT_EQ(features.bytes(), dataset.train.features.bytes() / 2);
  EXPECT_EQ(rounded.train.labels, dataset.train.labels);
  EXPECT_EQ(rounded.test->labels, dataset.test->labels);
  const auto* values = static_cast<const Bf16*>(features.data);
  for (int64_t i = 0; i < features.rows; ++i) {
    for (int64_t j = 0; j < features.columns; ++j) {
      const float x = std::fma(dataset.train.features.float_row(i)[j],
                               dataset.normalization.scale[j], dataset.normalization.offset[j]);
      ASSERT_EQ(values[i * features.columns + j].bits, to_bf16(x).bits) << i << ", " << j;
    }
  }
}

// The same data, already normalised and rounded, in float32.
TEST(Bf16Logistic, TrainsWhatFloat32TrainsOnTheRoundedFeatures) {
  const Dataset dataset = normalised_dataset();
  Dataset widened = dataset;
  widened.normalization = {};
  const RoundedData rounded = rounded_data(dataset);
  const auto widen = [](Split& to, const Split& from) {
    auto floats = std::make_shared<Buffer<float>>(from.features.rows * from.features.columns);
    for (size_t i = 0; i < floats->size(); ++i) {
      (*floats)[i] = to_float(static_cast<const Bf16*>(from.features.data)[i]);
    }
    to.features.data = floats->data();
    to.features.keep_alive = floats;
  };
  widen(widened.train, rounded.train);
  widen(*widened.test, *rounded.test);
  const TrainedModel bf16 = train_logistic(dataset, Precision::bf16);
  const TrainedModel fp32 = train_logistic(widened, Precision::fp32);
  EXPECT_EQ(bf16.result.parameters_sha256, fp32.result.parameters_sha256);
  EXPECT_EQ(bf16.result.epochs.back().test->loss, fp32.result.epochs.back().test->loss);
  EXPECT_NE(bf16.result.parameters_sha256,
            train_logistic(dataset, Precision::fp32).result.parameters_sha256);
}

TEST(Bf16Logistic, TheCheckpointKeepsTheDatasOwnNormalisation) {
  const Dataset dataset = normalised_dataset();
  const TrainedModel trained = train_logistic(dataset, Precision::bf16);
  EXPECT_EQ(trained.checkpoint.normalization.kind, Normalize::standard);
  EXPECT_EQ(trained.checkpoint.normalization.scale, dataset.normalization.scale);
  EXPECT_EQ(trained.checkpoint.normalization.offset, dataset.normalization.offset);
  // On raw data, as `lockstep eval` has it.
  const Evaluation raw = evaluate(trained.checkpoint.model, trained.checkpoint.normalization,
                                  *dataset.test, trained.checkpoint.values.span(), {})
                             .evaluation;
  EXPECT_EQ(raw.accuracy, trained.result.final_test->accuracy);
  EXPECT_NEAR(raw.loss, trained.result.epochs.back().test->loss, 2e-3);
}

TEST(Bf16Logistic, BytesAreRoundedAfterTheirScaling) {
  Dataset dataset = make_dataset(300, 20, 2);
  const auto to_bytes = [](Split& split) {
    auto bytes = std::make_shared<Buffer<uint8_t>>(split.features.rows * split.features.columns);
    for (size_t i = 0; i < bytes->size(); ++i) {
      const float value = static_cast<const float*>(split.features.data)[i];
      (*bytes)[i] = static_cast<uint8_t>(128.0f + 60.0f * value);
    }
    split.features.type = FeatureType::uint8;
    split.features.data = bytes->data();
    split.features.keep_alive = bytes;
  };
  to_bytes(dataset.train);
  to_bytes(*dataset.test);
  dataset.normalization = {Normalize::unit, {1.0f / 255.0f}, {0.0f}};
  const auto accuracy = [&](Precision precision) {
    return train_logistic(dataset, precision, [](Config& c) { c.epochs = 20; })
        .result.final_test->accuracy;
  };
  EXPECT_GE(accuracy(Precision::fp32), 0.95);
  EXPECT_NEAR(accuracy(Precision::bf16), accuracy(Precision::fp32), 0.02);
}

TEST(Bf16Logistic, IsAsAccurateAsFloat32OnTheSyntheticTask) {
  DataConfig data;
  data.data = "synthetic:n=40000,d=20";
  data.test_fraction = 0.25;
  const Dataset dataset = load_dataset(data, 1);
  const auto accuracy = [&](Precision precision) {
    return train_logistic(dataset, precision, [](Config& c) { c.batch_size = 256; })
        .result.final_test->accuracy;
  };
  EXPECT_GE(accuracy(Precision::fp32), 0.95);
  EXPECT_NEAR(accuracy(Precision::bf16), accuracy(Precision::fp32), 0.002);
}

TEST(Bf16Logistic, TrainsUnderEveryStrategy) {
  const Dataset dataset = normalised_dataset();
  const TrainedModel serial = train_logistic(dataset, Precision::bf16);
  EXPECT_GE(serial.result.final_test->accuracy, 0.95);
  const TrainedModel sync = train_logistic(dataset, Precision::bf16, [](Config& c) {
    c.strategy = Strategy::sync;
    c.workers = 2;
    c.threads = 2;
  });
  expect_close(serial.checkpoint.values.span(), sync.checkpoint.values.span(), 1e-5);
  for (const Strategy strategy : {Strategy::hogwild, Strategy::local_sgd}) {
    const TrainedModel trained = train_logistic(dataset, Precision::bf16, [&](Config& c) {
      c.strategy = strategy;
      c.workers = 3;
    });
    EXPECT_GE(trained.result.final_test->accuracy, 0.93);
  }
}

}  // namespace
}  // namespace lockstep
