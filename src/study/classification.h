// How well a classifier does on labelled data: confusion matrix, precision and recall, AUC.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "lockstep/model.h"

namespace lockstep {

// Rows are true classes, columns predicted ones; counts[t * classes + p].
struct Confusion {
  int classes = 0;
  std::vector<int64_t> counts;

  int64_t at(int truth, int predicted) const { return counts[truth * classes + predicted]; }
};

struct ClassScores {
  std::optional<double> precision;  // of those predicted as this class, how many are; none
                                    // predicted: not defined
  std::optional<double> recall;     // of those that are, how many were found; none there: undefined
  int64_t support = 0;              // samples of this class
};

// `predicted` and `labels` are class indices in [0, classes), of the same length.
Confusion confusion_of(std::span<const int32_t> labels, std::span<const int32_t> predicted,
                       int classes);
std::vector<ClassScores> scores_of(const Confusion& confusion);

// Area under the ROC curve: the probability that a random sample of class 1 has a higher score than
// one of class 0, ties counting half (Mann, Whitney 1947). Nothing where a class is absent or a
// score is NaN. O(n log n).
std::optional<double> auc_of(std::span<const float> scores, std::span<const int32_t> labels);

// From a model's outputs, `logits` [n, outputs]: the predicted class of each sample (the first of
// equals; for one output class 1 where the logit is above 0), the probabilities [n, classes], and
// for two classes the score of class 1.
std::vector<int32_t> predicted_classes(const Model& model, std::span<const float> logits);
std::vector<float> probabilities(const Model& model, std::span<const float> logits);
std::vector<float> scores_of_class_1(const Model& model, std::span<const float> logits);

}  // namespace lockstep
