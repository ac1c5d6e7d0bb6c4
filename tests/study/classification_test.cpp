// Confusion matrix, precision, recall and AUC against their definitions.
#include "study/classification.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace lockstep {
namespace {

TEST(Confusion, counts_every_pair_of_truth_and_prediction) {
  const std::vector<int32_t> labels = {0, 0, 1, 1, 2, 2, 2};
  const std::vector<int32_t> predicted = {0, 1, 1, 1, 2, 0, 2};
  const Confusion confusion = confusion_of(labels, predicted, 3);
  EXPECT_EQ(confusion.counts, (std::vector<int64_t>{1, 1, 0, 0, 2, 0, 1, 0, 2}));
  const std::vector<ClassScores> scores = scores_of(confusion);
  EXPECT_DOUBLE_EQ(*scores[0].precision, 1.0 / 2.0);
  EXPECT_DOUBLE_EQ(*scores[0].recall, 1.0 / 2.0);
  EXPECT_DOUBLE_EQ(*scores[1].precision, 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(*scores[1].recall, 1.0);
  EXPECT_DOUBLE_EQ(*scores[2].precision, 1.0);
  EXPECT_DOUBLE_EQ(*scores[2].recall, 2.0 / 3.0);
  EXPECT_EQ(scores[2].support, 3);
}

TEST(Confusion, what_has_no_denominator_is_not_defined) {
  const std::vector<int32_t> labels = {0, 0};
  const std::vector<int32_t> predicted = {0, 0};
  const auto scores = scores_of(confusion_of(labels, predicted, 2));
  EXPECT_FALSE(scores[1].precision.has_value());
  EXPECT_FALSE(scores[1].recall.has_value());
  EXPECT_EQ(scores[1].support, 0);
}

// The definition, over all pairs: O(n^2).
double auc_by_pairs(const std::vector<float>& scores, const std::vector<int32_t>& labels) {
  double wins = 0.0, pairs = 0.0;
  for (size_t i = 0; i < scores.size(); ++i) {
    for (size_t j = 0; j < scores.size(); ++j) {
      if (labels[i] != 1 || labels[j] != 0) continue;
      pairs += 1.0;
      wins += scores[i] > scores[j] ? 1.0 : scores[i] == scores[j] ? 0.5 : 0.0;
    }
  }
  return wins / pairs;
}

TEST(Auc, equals_the_share_of_pairs_in_the_right_order_with_ties) {
  std::mt19937 random(7);
  for (const int distinct : {2, 5, 1000}) {  // many ties, some, next to none
    std::vector<float> scores(211);
    std::vector<int32_t> labels(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      labels[i] = static_cast<int32_t>(random() % 3 == 0);
      scores[i] = static_cast<float>(random() % distinct) + 0.5f * static_cast<float>(labels[i]);
    }
    EXPECT_NEAR(*auc_of(scores, labels), auc_by_pairs(scores, labels), 1e-12) << distinct;
  }
}

TEST(Auc, is_one_half_and_zero_where_it_must_be) {
  const std::vector<int32_t> labels = {0, 0, 1, 1};
  EXPECT_EQ(*auc_of(std::vector<float>{1, 2, 3, 4}, labels), 1.0);
  EXPECT_EQ(*auc_of(std::vector<float>{4, 3, 2, 1}, labels), 0.0);
  EXPECT_EQ(*auc_of(std::vector<float>{5, 5, 5, 5}, labels), 0.5);
}

TEST(Auc, is_not_defined_for_one_class_or_nan) {
  EXPECT_FALSE(auc_of(std::vector<float>{1, 2}, std::vector<int32_t>{1, 1}).has_value());
  EXPECT_FALSE(auc_of(std::vector<float>{1, 2}, std::vector<int32_t>{0, 0}).has_value());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(auc_of(std::vector<float>{nan, 2}, std::vector<int32_t>{0, 1}).has_value());
}

TEST(Outputs, one_logit_gives_two_classes) {
  const Model model = make_logistic(3, 2);
  const std::vector<float> logits = {-2.0f, 0.0f, 3.0f, 200.0f, -200.0f};
  EXPECT_EQ(predicted_classes(model, logits), (std::vector<int32_t>{0, 0, 1, 1, 0}));
  const std::vector<float> p = probabilities(model, logits);
  ASSERT_EQ(p.size(), 10u);
  for (size_t i = 0; i < p.size(); i += 2) EXPECT_NEAR(p[i] + p[i + 1], 1.0, 1e-6);
  EXPECT_FLOAT_EQ(p[5], static_cast<float>(1.0 / (1.0 + std::exp(-3.0))));
  EXPECT_EQ(scores_of_class_1(model, logits), logits);
}

TEST(Outputs, softmax_is_stable_and_the_first_of_equals_wins) {
  const Model model = make_mlp(3, {}, 3, 0.0);
  const std::vector<float> logits = {1000.0f, 1000.0f, -1000.0f, 1.0f, 2.0f, 3.0f};
  EXPECT_EQ(predicted_classes(model, logits), (std::vector<int32_t>{0, 2}));
  const std::vector<float> p = probabilities(model, logits);
  EXPECT_FLOAT_EQ(p[0], 0.5f);
  EXPECT_FLOAT_EQ(p[1], 0.5f);
  EXPECT_FLOAT_EQ(p[2], 0.0f);
  EXPECT_NEAR(p[3] + p[4] + p[5], 1.0, 1e-6);
  EXPECT_NEAR(p[5] / p[4], std::exp(1.0), 1e-5);
}

TEST(Outputs, of_two_softmax_classes_the_score_is_their_difference) {
  const Model model = make_mlp(3, {}, 2, 0.0);
  EXPECT_EQ(scores_of_class_1(model, std::vector<float>{1.0f, 4.0f, 2.0f, 1.0f}),
            (std::vector<float>{3.0f, -1.0f}));
}

}  // namespace
}  // namespace lockstep
