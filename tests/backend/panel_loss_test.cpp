#include "backend/panel_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/loss_oracle.h"
#include "backend/panel_fixtures.h"
#include "backend/simd_targets.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kSampleCounts;
using testing::loss_gradient;
using testing::loss_oracle;
using testing::PanelArray;
using testing::Samples;
using testing::scattered;

constexpr PanelArray::Leftovers kFinite = PanelArray::Leftovers::finite;

void expect_loss_of_oracle(Loss loss, int64_t samples, int64_t outputs) {
  const int classes = static_cast<int>(std::max<int64_t>(outputs, 2));
  const Samples data(FeatureType::float32, 101, 1, classes);
  const std::vector<int64_t> picked = scattered(samples, 101);
  const Batch batch = data.pick(picked);
  const PanelArray logits(samples, outputs, 3, kFinite, 5.0f);
  const reference::Result expected = loss_oracle(batch, logits.rows(), outputs, loss);
  for_each_target([&] {
    const BatchMetrics alone = panel_loss(loss, batch, logits.view());
    PanelArray gradient(samples, outputs, 3, kFinite, 5.0f);
    const BatchMetrics metrics = panel_loss_backward(loss, batch, gradient.view());
    EXPECT_NEAR(metrics.loss, expected.loss, 1e-5 + 1.3e-6 * expected.loss);
    EXPECT_EQ(alone.loss, metrics.loss);
    EXPECT_EQ(metrics.correct, expected.correct);
    EXPECT_EQ(alone.correct, metrics.correct);
    EXPECT_EQ(metrics.count, samples);
    EXPECT_EQ(alone.count, samples);
    for (int64_t i = 0; i < samples; ++i) {
      for (int64_t j = 0; j < outputs; ++j) {
        const double g = loss_gradient(expected, i, j, data.split.labels[picked[i]], loss);
        ASSERT_NEAR(gradient.at(i, j), g, 1e-5 + 1.3e-6 * std::fabs(g)) << i << ", " << j;
      }
    }
    gradient.expect_guards_whole();
    gradient.expect_empty_lanes_zero();
  });
}

TEST(PanelLoss, SoftmaxMatchesTheOracle) {
  for (const int64_t samples : kSampleCounts) {
    for (const int64_t classes : {2, 3, 7, 10, 17, 61}) {
      SCOPED_TRACE(::testing::Message() << samples << " samples, " << classes << " classes");
      expect_loss_of_oracle(Loss::softmax_cross_entropy, samples, classes);
    }
  }
}

TEST(PanelLoss, BinaryMatchesTheOracle) {
  for (const int64_t samples : kSampleCounts) {
    SCOPED_TRACE(::testing::Message() << samples << " samples");
    expect_loss_of_oracle(Loss::binary_cross_entropy, samples, 1);
  }
}

TEST(PanelLoss, ASamplesGradientHasTheSameBitsWhateverSharesItsPanel) {
  const Samples data(FeatureType::float32, 61, 1, 7);
  for_each_target([&] {
    PanelArray all(61, 7, 3);
    panel_loss_backward(Loss::softmax_cross_entropy, data.range(0, 61), all.view());
    const PanelArray logits(61, 7, 3);
    for (const int64_t i : {0, 15, 16, 31, 32, 60}) {
      PanelArray alone(1, 7, 9);
      for (int64_t j = 0; j < 7; ++j) alone.at(0, j) = logits.at(i, j);
      panel_loss_backward(Loss::softmax_cross_entropy, data.range(i, i + 1), alone.view());
      for (int64_t j = 0; j < 7; ++j) ASSERT_EQ(alone.at(0, j), all.at(i, j)) << i << ", " << j;
    }
  });
}

TEST(PanelLoss, HugeLogitsStayFinite) {
  Samples data(FeatureType::float32, 4, 1, 2);
  data.split.labels = {0, 1, 0, 1};
  for_each_target([&] {
    PanelArray logits(4, 1, 1);
    const float values[] = {3e4f, 3e4f, -3e4f, -3e4f}, gradients[] = {1.0f, 0.0f, 0.0f, -1.0f};
    for (int64_t i = 0; i < 4; ++i) logits.at(i, 0) = values[i];
    const BatchMetrics binary =
        panel_loss_backward(Loss::binary_cross_entropy, data.range(0, 4), logits.view());
    EXPECT_NEAR(binary.loss, 6e4, 1.0);
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(logits.at(i, 0), gradients[i]);

    PanelArray rows(1, 3, 1);
    rows.at(0, 0) = -3e4f, rows.at(0, 1) = 3e4f, rows.at(0, 2) = 0.0f;
    const BatchMetrics softmax =
        panel_loss_backward(Loss::softmax_cross_entropy, data.range(0, 1), rows.view());
    EXPECT_NEAR(softmax.loss, 6e4, 1.0);
    EXPECT_EQ(rows.rows(), (std::vector<float>{-1.0f, 1.0f, 0.0f}));
  });
}

TEST(PanelLoss, NotANumberIsSeenAndCountsAsWrong) {
  Samples data(FeatureType::float32, 33, 1, 2);
  std::fill(data.split.labels.begin(), data.split.labels.end(), 0);
  for_each_target([&] {
    PanelArray binary(33, 1, 1), softmax(33, 2, 1);
    for (int64_t i = 0; i < 33; ++i) binary.at(i, 0) = -1.0f, softmax.at(i, 0) = 9.0f;
    binary.at(32, 0) = std::numeric_limits<float>::quiet_NaN();
    softmax.at(32, 0) = std::numeric_limits<float>::quiet_NaN();
    const BatchMetrics b = panel_loss(Loss::binary_cross_entropy, data.range(0, 33), binary.view());
    const BatchMetrics s =
        panel_loss(Loss::softmax_cross_entropy, data.range(0, 33), softmax.view());
    EXPECT_TRUE(std::isnan(b.loss));
    EXPECT_TRUE(std::isnan(s.loss));
    EXPECT_EQ(b.correct, 32);
    EXPECT_EQ(s.correct, 32);
  });
}

TEST(PanelLoss, TiesGoToTheLowestClass) {
  Samples data(FeatureType::float32, 2, 1, 2);
  data.split.labels = {0, 1};
  for_each_target([&] {
    PanelArray binary(2, 1, 1), softmax(2, 2, 1);
    for (int64_t i = 0; i < 2; ++i) {
      binary.at(i, 0) = 0.0f;
      softmax.at(i, 0) = softmax.at(i, 1) = 0.25f;
    }
    EXPECT_EQ(panel_loss(Loss::binary_cross_entropy, data.range(0, 2), binary.view()).correct, 1);
    EXPECT_EQ(panel_loss(Loss::softmax_cross_entropy, data.range(0, 2), softmax.view()).correct, 1);
  });
}

TEST(PanelLoss, WithoutLabelsOnlyTheCountIsKnown) {
  Samples data(FeatureType::float32, 2, 1, 2);
  data.split.labels.clear();
  const PanelArray logits(2, 2, 1);
  const BatchMetrics metrics =
      panel_loss(Loss::softmax_cross_entropy, data.range(0, 2), logits.view());
  EXPECT_EQ(metrics.count, 2);
  EXPECT_EQ(metrics.loss, 0.0);
}

}  // namespace
}  // namespace lockstep
