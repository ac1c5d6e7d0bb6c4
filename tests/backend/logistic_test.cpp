#include "backend/logistic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"
#include "reference/network.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::normals;
using testing::Samples;

void expect_pass_matches_oracle(const Batch& batch, const Normalization& normalization) {
  const int64_t columns = batch.data->features.columns;
  const Model model = make_logistic(columns, 2);
  const ParameterLayout layout(model);
  std::vector<float> weights = normals(columns, 8, 1.0f / std::sqrt(static_cast<float>(columns)));
  const float bias = 0.25f;
  std::vector<double> values(layout.size(), 0.0);
  std::copy(weights.begin(), weights.end(), values.begin() + layout.weight(0).offset);
  values[layout.bias(0).offset] = bias;
  const reference::Result expected =
      reference::run(model, layout, values, batch, normalization, reference::DropoutMode::off, 0);

  const FeatureScaling scaling(normalization, columns);
  LogisticPass pass(scaling, columns);
  std::vector<float> gradient(columns, 99.0f), logits(batch.size());
  float bias_gradient = 99.0f;
  const BatchMetrics metrics =
      pass.gradient(batch, weights.data(), bias, gradient.data(), &bias_gradient);
  const BatchMetrics alone = pass.evaluate(batch, weights.data(), bias, logits.data());
  EXPECT_NEAR(metrics.loss, expected.loss, 1e-5 + 5e-6 * expected.loss);
  EXPECT_EQ(metrics.correct, expected.correct);
  EXPECT_EQ(metrics.count, batch.size());
  EXPECT_EQ(alone.loss, metrics.loss);
  EXPECT_EQ(alone.correct, metrics.correct);
  for (int64_t i = 0; i < batch.size(); ++i) EXPECT_NEAR(logits[i], expected.logits.at(i, 0), 3e-5);
  const double allowed = 2e-6 * static_cast<double>(batch.size()) + 1e-5;
  EXPECT_NEAR(bias_gradient, expected.gradients[layout.bias(0).offset], allowed);
  for (int64_t j = 0; j < columns; ++j) {
    EXPECT_NEAR(gradient[j], expected.gradients[layout.weight(0).offset + j], allowed) << j;
  }
}

TEST(LogisticPass, MatchesTheOracleOnEveryTypeAndOrder) {
  for_each_target([] {
    for (const int64_t columns : {1, 2, 3, 7, 16, 17, 20, 33, 47, 64, 65, 80, 129, 784}) {
      // Whole blocks of 64 rows are read in place where they are adjacent.
      for (const int64_t rows : {1, 3, 15, 16, 17, 45, 64, 79, 150}) {
        const std::vector<int64_t> picked = testing::scattered(rows, 160);
        const Samples floats(FeatureType::float32, 160, columns, 2);
        const Samples bytes(FeatureType::uint8, 160, columns, 2);
        const Samples halves(FeatureType::bfloat16, 160, columns, 2);
        for (const Normalization& normalization :
             {Normalization{}, testing::per_feature(columns, 0.5f)}) {
          expect_pass_matches_oracle(floats.range(160 - rows, 160), normalization);
          expect_pass_matches_oracle(floats.pick(picked), normalization);
          expect_pass_matches_oracle(halves.range(160 - rows, 160), normalization);
          expect_pass_matches_oracle(halves.pick(picked), normalization);
        }
        for (const Normalization& normalization :
             {testing::unit_scaling(), testing::per_feature(columns, 0.004f)}) {
          expect_pass_matches_oracle(bytes.range(160 - rows, 160), normalization);
          expect_pass_matches_oracle(bytes.pick(picked), normalization);
        }
      }
    }
  });
}

TEST(LogisticPass, EmptyBatchHasZeroGradient) {
  const Samples samples(FeatureType::float32, 4, 5, 2);
  const FeatureScaling scaling({}, 5);
  LogisticPass pass(scaling, 5);
  const std::vector<float> weights(5, 1.0f);
  std::vector<float> gradient(5, 9.0f);
  float bias_gradient = 9.0f;
  const BatchMetrics metrics =
      pass.gradient(samples.range(2, 2), weights.data(), 0.0f, gradient.data(), &bias_gradient);
  EXPECT_EQ(metrics.count, 0);
  EXPECT_EQ(gradient, std::vector<float>(5));
  EXPECT_EQ(bias_gradient, 0.0f);
}

TEST(LogisticPass, WithoutLabelsThereAreLogitsAndNoLoss) {
  Samples samples(FeatureType::float32, 4, 5, 2);
  samples.split.labels.clear();
  const FeatureScaling scaling({}, 5);
  LogisticPass pass(scaling, 5);
  const std::vector<float> weights(5, 0.0f);
  std::vector<float> logits(4);
  const BatchMetrics metrics =
      pass.evaluate(samples.range(0, 4), weights.data(), 2.0f, logits.data());
  EXPECT_EQ(metrics.count, 4);
  EXPECT_EQ(metrics.loss, 0.0);
  EXPECT_EQ(logits, std::vector<float>(4, 2.0f));
}

}  // namespace
}  // namespace lockstep
