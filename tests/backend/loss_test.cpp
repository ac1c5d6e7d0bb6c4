#include "backend/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/fixtures.h"
#include "backend/loss_oracle.h"
#include "backend/simd_targets.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kAwkward;
using testing::loss_gradient;
using testing::loss_oracle;
using testing::normals;
using testing::Samples;

TEST(Loss, SoftmaxMatchesTheOracle) {
  for_each_target([] {
    for (const int64_t classes : {2, 3, 7, 10, 16, 17, 61}) {
      for (const int64_t rows : {1, 5, 33}) {
        const Samples samples(FeatureType::float32, rows, 1, static_cast<int>(classes));
        const Batch batch = samples.range(0, rows);
        std::vector<float> logits = normals(rows * classes, 3, 4.0f);
        const reference::Result expected =
            loss_oracle(batch, logits, classes, Loss::softmax_cross_entropy);
        const BatchMetrics alone =
            softmax_cross_entropy(batch, {logits.data(), rows, classes, classes});
        std::vector<float> gradient = logits;
        const BatchMetrics metrics =
            softmax_cross_entropy_backward(batch, {gradient.data(), rows, classes, classes});
        EXPECT_NEAR(metrics.loss, expected.loss, 1e-5 + 1.3e-6 * expected.loss);
        EXPECT_EQ(alone.loss, metrics.loss);
        EXPECT_EQ(metrics.correct, expected.correct);
        EXPECT_EQ(alone.correct, metrics.correct);
        EXPECT_EQ(metrics.count, rows);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < classes; ++j) {
            const double g =
                loss_gradient(expected, i, j, samples.split.labels[i], Loss::softmax_cross_entropy);
            EXPECT_NEAR(gradient[i * classes + j], g, 1e-5 + 1.3e-6 * std::fabs(g));
          }
        }
      }
    }
  });
}

TEST(Loss, BinaryMatchesTheOracle) {
  for_each_target([] {
    for (const int64_t rows : kAwkward) {
      const Samples samples(FeatureType::float32, rows, 1, 2);
      const Batch batch = samples.range(0, rows);
      std::vector<float> logits = normals(rows, 5, 6.0f);
      const reference::Result expected = loss_oracle(batch, logits, 1, Loss::binary_cross_entropy);
      const BatchMetrics alone = binary_cross_entropy_loss(batch, {logits.data(), rows, 1, 1});
      std::vector<float> gradient = logits;
      const BatchMetrics metrics =
          binary_cross_entropy_backward(batch, {gradient.data(), rows, 1, 1});
      EXPECT_NEAR(metrics.loss, expected.loss, 1e-5 + 1.3e-6 * expected.loss);
      EXPECT_EQ(alone.loss, metrics.loss);
      EXPECT_EQ(metrics.correct, expected.correct);
      for (int64_t i = 0; i < rows; ++i) {
        const double g =
            loss_gradient(expected, i, 0, samples.split.labels[i], Loss::binary_cross_entropy);
        EXPECT_NEAR(gradient[i], g, 1e-6);
      }
    }
  });
}

TEST(Loss, HugeLogitsStayFinite) {
  for_each_target([] {
    Samples samples(FeatureType::float32, 4, 1, 2);
    samples.split.labels = {0, 1, 0, 1};
    std::vector<float> logits = {3e4f, 3e4f, -3e4f, -3e4f};
    const BatchMetrics metrics =
        binary_cross_entropy_backward(samples.range(0, 4), {logits.data(), 4, 1, 1});
    EXPECT_NEAR(metrics.loss, 6e4, 1.0);
    EXPECT_EQ(logits, (std::vector<float>{1.0f, 0.0f, 0.0f, -1.0f}));
    std::vector<float> rows = {3e4f, -3e4f, 0.0f, 3e4f, -3e4f, 0.0f};
    const BatchMetrics softmax =
        softmax_cross_entropy_backward(samples.range(0, 2), {rows.data(), 2, 3, 3});
    EXPECT_NEAR(softmax.loss, 6e4, 1.0);
    EXPECT_EQ(rows, (std::vector<float>{0.0f, 0.0f, 0.0f, 1.0f, -1.0f, 0.0f}));
  });
}

TEST(Loss, NotANumberIsSeen) {
  for_each_target([] {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Samples samples(FeatureType::float32, 3, 1, 2);
    std::vector<float> binary = {0.5f, nan, 1.0f};
    EXPECT_TRUE(
        std::isnan(binary_cross_entropy_loss(samples.range(0, 3), {binary.data(), 3, 1, 1}).loss));
    std::vector<float> rows = {0.0f, 1.0f, 0.0f, nan, nan, 1.0f};
    EXPECT_TRUE(
        std::isnan(softmax_cross_entropy(samples.range(0, 3), {rows.data(), 3, 2, 2}).loss));
  });
}

TEST(Loss, TiesGoToTheLowestClass) {
  Samples samples(FeatureType::float32, 2, 1, 2);
  samples.split.labels = {0, 1};
  const std::vector<float> rows(4, 0.25f), zeros(2, 0.0f);
  EXPECT_EQ(softmax_cross_entropy(samples.range(0, 2), {rows.data(), 2, 2, 2}).correct, 1);
  EXPECT_EQ(binary_cross_entropy_loss(samples.range(0, 2), {zeros.data(), 2, 1, 1}).correct, 1);
}

TEST(Loss, WithoutLabelsOnlyTheCountIsKnown) {
  Samples samples(FeatureType::float32, 2, 1, 2);
  samples.split.labels.clear();
  const std::vector<float> rows(4, 0.25f);
  const BatchMetrics metrics = softmax_cross_entropy(samples.range(0, 2), {rows.data(), 2, 2, 2});
  EXPECT_EQ(metrics.count, 2);
  EXPECT_EQ(metrics.loss, 0.0);
}

}  // namespace
}  // namespace lockstep
