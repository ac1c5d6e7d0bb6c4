#include "study/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lockstep/math.h"

namespace lockstep {

namespace {

int64_t outputs_of(const Model& model) {
  return model.loss == Loss::binary_cross_entropy ? 1 : model.classes;
}

std::optional<double> ratio(int64_t part, int64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

// Softmax of one sample in double, shifted by its maximum so that nothing overflows.
void softmax(std::span<const float> logits, std::span<float> out) {
  const double highest = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - highest);
  for (size_t i = 0; i < logits.size(); ++i) {
    out[i] = static_cast<float>(std::exp(logits[i] - highest) / sum);
  }
}

}  // namespace

Confusion confusion_of(std::span<const int32_t> labels, std::span<const int32_t> predicted,
                       int classes) {
  Confusion confusion{classes, std::vector<int64_t>(static_cast<size_t>(classes) * classes)};
  for (size_t i = 0; i < labels.size(); ++i) {
    ++confusion.counts[static_cast<size_t>(labels[i]) * classes + predicted[i]];
  }
  return confusion;
}

std::vector<ClassScores> scores_of(const Confusion& confusion) {
  std::vector<ClassScores> scores(confusion.classes);
  for (int c = 0; c < confusion.classes; ++c) {
    int64_t predicted = 0;
    for (int other = 0; other < confusion.classes; ++other) {
      predicted += confusion.at(other, c);
      scores[c].support += confusion.at(c, other);
    }
    scores[c].precision = ratio(confusion.at(c, c), predicted);
    scores[c].recall = ratio(confusion.at(c, c), scores[c].support);
  }
  return scores;
}

std::optional<double> auc_of(std::span<const float> scores, std::span<const int32_t> labels) {
  if (std::ranges::any_of(scores, [](float score) { return std::isnan(score); })) return {};
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return scores[i]; });

  // The sum of the ranks of class 1, where samples of equal score share their mean rank.
  double rank_sum = 0.0;
  int64_t positives = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    int64_t positives_here = 0;
    while (end < order.size() && scores[order[end]] == scores[order[begin]]) {
      positives_here += labels[order[end++]] == 1 ? 1 : 0;
    }
    const double mean_rank = 0.5 * static_cast<double>(begin + 1 + end);
    rank_sum += mean_rank * static_cast<double>(positives_here);
    positives += positives_here;
    begin = end;
  }
  const auto p = static_cast<double>(positives);
  const double n = static_cast<double>(order.size()) - p;
  if (p == 0.0 || n == 0.0) return std::nullopt;
  return (rank_sum - p * (p + 1.0) / 2.0) / (p * n);
}

std::vector<int32_t> predicted_classes(const Model& model, std::span<const float> logits) {
  const auto outputs = static_cast<size_t>(outputs_of(model));
  std::vector<int32_t> classes(logits.size() / outputs);
  for (size_t i = 0; i < classes.size(); ++i) {
    const auto row = logits.subspan(i * outputs, outputs);
    classes[i] = outputs == 1 ? (row[0] > 0.0f ? 1 : 0)
                              : static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
  }
  return classes;
}

std::vector<float> probabilities(const Model& model, std::span<const float> logits) {
  const auto outputs = static_cast<size_t>(outputs_of(model));
  if (outputs > 1) {
    std::vector<float> result(logits.size());
    for (size_t at = 0; at < logits.size(); at += outputs) {
      softmax(logits.subspan(at, outputs), std::span(result).subspan(at, outputs));
    }
    return result;
  }
  std::vector<float> result;
  result.reserve(2 * logits.size());
  for (const float logit : logits) {
    result.push_back(static_cast<float>(sigmoid(-static_cast<double>(logit))));
    result.push_back(static_cast<float>(sigmoid(static_cast<double>(logit))));
  }
  return result;
}

std::vector<float> scores_of_class_1(const Model& model, std::span<const float> logits) {
  if (outputs_of(model) == 1) return {logits.begin(), logits.end()};
  std::vector<float> scores(logits.size() / 2);
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = logits[2 * i + 1] - logits[2 * i];
  return scores;
}

}  // namespace lockstep
