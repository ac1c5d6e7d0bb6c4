#include "backend/logistic.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/logistic.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Rows of a block: their logits fill whole vectors, and 784 floats a row still fit the cache.
constexpr int64_t kRows = 16;

using Pass = LogisticPass::Request;
using Sums = LogisticPass::Sums;

template <bool scaled, class LoadAt, class T>
HWY_INLINE Floats feature(const Pass& pass, LoadAt load_at, const T* row) {
  if constexpr (scaled) return fma(load_at(row), load_at(pass.scale), load_at(pass.offset));
  return load_at(row);
}

template <bool scaled, class T>
HWY_INLINE float dot(const Pass& pass, const T* row, int64_t columns) {
  Floats sums[4] = {Floats(0.0f), Floats(0.0f), Floats(0.0f), Floats(0.0f)};
  size_t turn = 0;
  for_each_vector(columns, [&](auto load_at, auto) HWY_ATTR {
    Floats& sum = sums[turn++ % 4];
    sum = fma(feature<scaled>(pass, load_at, row), load_at(pass.weights), sum);
  });
  const Floats total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return hn::GetLane(hn::SumOfLanes(FloatTag(), total.raw));
}

// Losses and errors (sigmoid - label) of up to kRows logits; errors beyond `count` are zero.
HWY_INLINE void block_loss(const float* logits, const float* labels, int64_t count, float* errors,
                           Sums& sums) {
  HWY_ALIGN float losses[kRows];
  for (int64_t i = 0; i < kRows; i += kLanes) {
    const Floats logit = load(logits + i);
    const Floats label = load(labels + i);
    store(binary_cross_entropy(logit, label), losses + i);
    store(sigmoid(logit) - label, errors + i);
  }
  for (int64_t i = 0; i < count; ++i) {
    sums.metrics.loss += losses[i];
    sums.metrics.correct += (logits[i] > 0.0f) == (labels[i] > 0.0f) && logits[i] == logits[i];
    sums.bias_gradient += errors[i];
  }
  std::fill(errors + count, errors + kRows, 0.0f);
}

template <bool scaled, class T>
HWY_INLINE void accumulate(const Pass& pass, const T* const* rows, const float* errors,
                           int64_t count, int64_t columns) {
  for_each_vector(columns, [&](auto load_at, auto store_at) HWY_ATTR {
    Floats sum = load_at(pass.gradient);
    for (int64_t i = 0; i < count; ++i) {
      sum = fma(Floats(errors[i]), feature<scaled>(pass, load_at, rows[i]), sum);
    }
    store_at(sum, pass.gradient);
  });
}

template <bool scaled, class T>
HWY_INLINE Sums run(const Pass& pass) {
  const Batch& batch = pass.batch;
  const int64_t columns = batch.data->features.columns;
  const auto* features = static_cast<const T*>(batch.data->features.data);
  const bool labelled = !batch.data->labels.empty();
  const int64_t size = batch.size();
  Sums sums;
  HWY_ALIGN float logits[kRows] = {};
  HWY_ALIGN float labels[kRows] = {};
  HWY_ALIGN float errors[kRows] = {};
  const T* rows[kRows];
  for (int64_t first = 0; first < size; first += kRows) {
    const int64_t count = std::min(kRows, size - first);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t sample = batch.sample(first + i);
      rows[i] = features + sample * columns;
      labels[i] = labelled ? static_cast<float>(batch.data->labels[sample]) : 0.0f;
      logits[i] = dot<scaled>(pass, rows[i], columns) + pass.bias;
    }
    if (pass.logits) std::copy_n(logits, count, pass.logits + first);
    if (!labelled) continue;
    block_loss(logits, labels, count, errors, sums);
    if (pass.gradient) accumulate<scaled>(pass, rows, errors, count, columns);
  }
  sums.metrics.count = size;
  return sums;
}

Sums run_floats(const Pass& pass) {
  return pass.scale ? run<true, float>(pass) : run<false, float>(pass);
}

Sums run_bytes(const Pass& pass) {
  return run<false, uint8_t>(pass);
}

// gradient = scale * gradient + offset * bias_gradient: what folding the scaling into the weights
// leaves to be done for the gradient.
void unfold(const float* scale, const float* offset, float bias_gradient, float* gradient,
            int64_t columns) {
  const Floats bias(bias_gradient);
  for_each_vector(columns, [=](auto load_at, auto store_at) HWY_ATTR {
    store_at(fma(load_at(scale), load_at(gradient), load_at(offset) * bias), gradient);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(run_floats);
HWY_EXPORT(run_bytes);
HWY_EXPORT(unfold);

LogisticPass::LogisticPass(const FeatureScaling& scaling, int64_t columns)
    : scaling_(scaling), columns_(columns), folded_(scaling.identity() ? 0 : columns) {}

LogisticPass::Sums LogisticPass::run(Request request) {
  if (request.batch.data->features.type == FeatureType::float32) {
    request.scale = scaling_.scale();
    request.offset = scaling_.offset();
    return HWY_DYNAMIC_DISPATCH(run_floats)(request);
  }
  if (scaling_.identity()) return HWY_DYNAMIC_DISPATCH(run_bytes)(request);
  double folded_bias = request.bias;
  for (int64_t j = 0; j < columns_; ++j) {
    folded_[j] = request.weights[j] * scaling_.scale()[j];
    folded_bias += static_cast<double>(request.weights[j]) * scaling_.offset()[j];
  }
  request.weights = folded_.data();
  request.bias = static_cast<float>(folded_bias);
  const Sums sums = HWY_DYNAMIC_DISPATCH(run_bytes)(request);
  if (request.gradient) {
    HWY_DYNAMIC_DISPATCH(unfold)
    (scaling_.scale(), scaling_.offset(), sums.bias_gradient, request.gradient, columns_);
  }
  return sums;
}

BatchMetrics LogisticPass::gradient(const Batch& batch, const float* weights, float bias,
                                    float* gradient, float* bias_gradient) {
  std::fill_n(gradient, columns_, 0.0f);
  *bias_gradient = 0.0f;
  if (batch.size() == 0) return {};
  const Sums sums = run({batch, weights, bias, nullptr, nullptr, gradient, nullptr});
  *bias_gradient = sums.bias_gradient;
  return sums.metrics;
}

BatchMetrics LogisticPass::evaluate(const Batch& batch, const float* weights, float bias,
                                    float* logits) {
  if (batch.size() == 0) return {};
  return run({batch, weights, bias, nullptr, nullptr, nullptr, logits}).metrics;
}

}  // namespace lockstep
#endif  // HWY_ONCE
