#include "backend/loss.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/loss.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

struct RowLoss {
  double loss;
  bool correct;
};

HWY_INLINE float largest(const float* logits, int64_t classes) {
  float best = logits[0];
  for (int64_t j = 1; j < classes; ++j) best = logits[j] > best ? logits[j] : best;
  return best;
}

// log-sum-exp shifted by the maximum. `powers` receives e^(logit - maximum) and may be `logits`.
HWY_INLINE RowLoss softmax_row(const float* logits, int64_t classes, int32_t label, float* powers,
                               float& sum) {
  const float maximum = largest(logits, classes);
  const float chosen = logits[label];
  bool correct = chosen == maximum;
  for (int64_t j = 0; j < label; ++j) correct = correct && logits[j] < maximum;
  const Floats shift(maximum);
  for_each_vector(classes, [=](auto load_at, auto store_at)
                               HWY_ATTR { store_at(exp(load_at(logits) - shift), powers); });
  sum = 0.0f;
  for (int64_t j = 0; j < classes; ++j) sum += powers[j];
  return {std::log(static_cast<double>(sum)) + maximum - chosen, correct};
}

// `powers` is one row of scratch, or with `gradient` the logits' own row.
template <bool gradient>
HWY_INLINE BatchMetrics softmax_rows(const Batch& batch, MatrixView<const float> logits,
                                     float* powers, int64_t powers_stride) {
  BatchMetrics metrics;
  metrics.count = logits.rows;
  const int32_t* labels = batch.data->labels.data();
  for (int64_t i = 0; i < logits.rows; ++i) {
    const int32_t label = labels[batch.sample(i)];
    float* out = powers + i * powers_stride;
    float sum;
    const RowLoss row = softmax_row(logits.row(i), logits.columns, label, out, sum);
    metrics.loss += row.loss;
    metrics.correct += row.correct;
    if constexpr (gradient) {
      const Floats inverse(1.0f / sum);
      for_each_vector(logits.columns, [=](auto load_at, auto store_at)
                                          HWY_ATTR { store_at(load_at(out) * inverse, out); });
      out[label] -= 1.0f;
    }
  }
  return metrics;
}

BatchMetrics softmax_backward(const Batch& batch, Matrix logits) {
  return softmax_rows<true>(batch, logits, logits.data, logits.stride);
}

BatchMetrics softmax_loss(const Batch& batch, ConstMatrix logits, float* scratch) {
  return softmax_rows<false>(batch, logits, scratch, 0);
}

// One vector of logits at a time, gathered from and scattered to their rows.
template <bool gradient>
HWY_INLINE BatchMetrics binary_rows(const Batch& batch, ConstMatrix logits, float* out,
                                    int64_t out_stride) {
  BatchMetrics metrics;
  metrics.count = logits.rows;
  const int32_t* labels = batch.data->labels.data();
  HWY_ALIGN float x[kLanes];
  HWY_ALIGN float y[kLanes];
  for (int64_t first = 0; first < logits.rows; first += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, logits.rows - first);
    for (int64_t i = 0; i < count; ++i) {
      x[i] = *logits.row(first + i);
      y[i] = static_cast<float>(labels[batch.sample(first + i)]);
      metrics.correct += (x[i] > 0.0f) == (y[i] > 0.0f) && x[i] == x[i];
    }
    std::fill(x + count, x + kLanes, 0.0f);
    std::fill(y + count, y + kLanes, 0.0f);
    const Floats logit = load(x);
    const Floats target = load(y);
    store(binary_cross_entropy(logit, target), y);
    for (int64_t i = 0; i < count; ++i) metrics.loss += y[i];
    if constexpr (gradient) {
      store(sigmoid(logit) - target, x);
      for (int64_t i = 0; i < count; ++i) out[(first + i) * out_stride] = x[i];
    }
  }
  return metrics;
}

BatchMetrics binary_backward(const Batch& batch, Matrix logits) {
  return binary_rows<true>(batch, logits, logits.data, logits.stride);
}

BatchMetrics binary_loss(const Batch& batch, ConstMatrix logits) {
  return binary_rows<false>(batch, logits, nullptr, 0);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

namespace lockstep {

HWY_EXPORT(softmax_backward);
HWY_EXPORT(softmax_loss);
HWY_EXPORT(binary_backward);
HWY_EXPORT(binary_loss);

namespace {

bool unlabelled(const Batch& batch) {
  return batch.data == nullptr || batch.data->labels.empty();
}

BatchMetrics count_only(const Batch& batch) {
  BatchMetrics metrics;
  metrics.count = batch.size();
  return metrics;
}

}  // namespace

BatchMetrics softmax_cross_entropy_backward(const Batch& batch, Matrix logits) {
  if (unlabelled(batch)) return count_only(batch);
  return HWY_DYNAMIC_DISPATCH(softmax_backward)(batch, logits);
}

BatchMetrics softmax_cross_entropy(const Batch& batch, ConstMatrix logits) {
  if (unlabelled(batch)) return count_only(batch);
  std::vector<float> scratch(logits.columns);
  return HWY_DYNAMIC_DISPATCH(softmax_loss)(batch, logits, scratch.data());
}

BatchMetrics binary_cross_entropy_backward(const Batch& batch, Matrix logits) {
  if (unlabelled(batch)) return count_only(batch);
  return HWY_DYNAMIC_DISPATCH(binary_backward)(batch, logits);
}

BatchMetrics binary_cross_entropy_loss(const Batch& batch, ConstMatrix logits) {
  if (unlabelled(batch)) return count_only(batch);
  return HWY_DYNAMIC_DISPATCH(binary_loss)(batch, logits);
}

}  // namespace lockstep
#endif  // HWY_ONCE
