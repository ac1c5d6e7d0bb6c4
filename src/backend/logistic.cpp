#include "backend/logistic.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/logistic.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/simd-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Rows of a block: as many as one or more whole vectors of logits, few enough that the block stays
// in a first-level cache of 32 KiB while it is read for the second time.
constexpr int64_t kRows = 16;
constexpr int64_t kBlockBytes = 24 * 1024;

using Pass = LogisticPass::Request;
using Sums = LogisticPass::Sums;

// The rows of a block, and of the one after it, which is prefetched meanwhile.
template <class T>
struct Block {
  const T* rows[kRows];
  int64_t count = 0;
};

template <bool scaled, class LoadAt, class T>
HWY_INLINE Floats feature(const Pass& pass, LoadAt load_at, const T* row) {
  if constexpr (scaled) return fma(load_at(row), load_at(pass.scale), load_at(pass.offset));
  return load_at(row);
}

template <bool scaled, class T>
HWY_INLINE float dot(const Pass& pass, const T* row, size_t columns) {
  Floats sums[4] = {Floats(0.0f), Floats(0.0f), Floats(0.0f), Floats(0.0f)};
  const auto add = [&](Floats& sum, auto load_at) HWY_ATTR {
    sum = fma(feature<scaled>(pass, load_at, row), load_at(pass.weights), sum);
  };
  const auto at = [](size_t i) HWY_ATTR {
    return [i](const auto* base) HWY_ATTR { return load(base + i); };
  };
  size_t i = 0;
  for (; i + 4 * kLanes <= columns; i += 4 * kLanes) {
    for (size_t k = 0; k < 4; ++k) add(sums[k], at(i + k * kLanes));
  }
  for (; i + kLanes <= columns; i += kLanes) add(sums[0], at(i));
  if (i < columns) {
    const size_t rest = columns - i;
    add(sums[1], [i, rest](const auto* base) HWY_ATTR { return load_tail(base + i, rest); });
  }
  const Floats total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return hn::GetLane(hn::SumOfLanes(FloatTag(), total.raw));
}

// Losses and errors (sigmoid - label) of up to kRows logits; errors beyond `count` are zero.
HWY_INLINE void block_loss(const float* logits, const float* labels, int64_t count, float* errors,
                           Sums& sums) {
  const FloatTag d;
  const FloatVector zero = hn::Zero(d);
  for (int64_t i = 0; i < kRows; i += kLanes) {
    const Floats logit = load(logits + i);
    const Floats label = load(labels + i);
    const auto present = hn::FirstN(d, static_cast<size_t>(std::max<int64_t>(count - i, 0)));
    Floats loss, error;
    binary_cross_entropy_gradient(logit, label, loss, error);
    error = Floats(hn::IfThenElseZero(present, error.raw));
    store(error, errors + i);
    sums.metrics.loss += hn::GetLane(hn::SumOfLanes(d, hn::IfThenElseZero(present, loss.raw)));
    sums.bias_gradient += hn::GetLane(hn::SumOfLanes(d, error.raw));
    // Right where logit and label lie on the same side of 0; never where the logit is NaN.
    const auto wrong = hn::Xor(hn::Gt(logit.raw, zero), hn::Gt(label.raw, zero));
    const auto right = hn::AndNot(wrong, hn::And(present, hn::Eq(logit.raw, logit.raw)));
    sums.metrics.correct += static_cast<int64_t>(hn::CountTrue(d, right));
  }
}

template <bool scaled, class T, class LoadAt, class StoreAt>
HWY_INLINE void accumulate_vector(const Pass& pass, const Block<T>& block, const float* errors,
                                  LoadAt load_at, StoreAt store_at) {
  Floats sums[4] = {load_at(pass.gradient), Floats(0.0f), Floats(0.0f), Floats(0.0f)};
  const auto add = [&](Floats& sum, int64_t i) HWY_ATTR {
    sum = fma(Floats(errors[i]), feature<scaled>(pass, load_at, block.rows[i]), sum);
  };
  int64_t i = 0;
  for (; i + 4 <= block.count; i += 4) {
    for (int64_t k = 0; k < 4; ++k) add(sums[k], i + k);
  }
  for (; i < block.count; ++i) add(sums[0], i);
  store_at((sums[0] + sums[1]) + (sums[2] + sums[3]), pass.gradient);
}

// gradient += errors^T rows
template <bool scaled, class T>
HWY_INLINE void accumulate(const Pass& pass, const Block<T>& block, const float* errors,
                           size_t columns) {
  for_each_vector(columns, [&](auto load_at, auto store_at) HWY_ATTR {
    accumulate_vector<scaled>(pass, block, errors, load_at, store_at);
  });
}

// Asks for the rows of a block before the one in hand is worked on.
template <class T>
HWY_INLINE void prefetch(const Block<T>& block, size_t columns) {
  constexpr size_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < block.count; ++i) {
    for (size_t j = 0; j < columns; j += kLine) hwy::Prefetch(block.rows[i] + j);
  }
}

template <class T>
HWY_INLINE void take_rows(const Batch& batch, int64_t first, int64_t rows, Block<T>& block) {
  const FeatureMatrix& features = batch.data->features;
  const auto* data = static_cast<const T*>(features.data);
  block.count = std::min(rows, batch.size() - first);
  for (int64_t i = 0; i < block.count; ++i) {
    block.rows[i] = data + batch.sample(first + i) * features.columns;
  }
}

template <bool scaled, class T>
HWY_INLINE Sums run(const Pass& pass) {
  const Batch& batch = pass.batch;
  const auto columns = static_cast<size_t>(batch.data->features.columns);
  const bool labelled = !batch.data->labels.empty();
  const auto fitting = kBlockBytes / static_cast<int64_t>(columns * sizeof(T));
  const int64_t rows = fitting >= kRows ? kRows : std::max<int64_t>(fitting / 4 * 4, 4);
  Sums sums;
  HWY_ALIGN float logits[kRows] = {};
  HWY_ALIGN float labels[kRows] = {};
  HWY_ALIGN float errors[kRows] = {};
  Block<T> block, next;
  take_rows(batch, 0, rows, next);
  for (int64_t first = 0; next.count > 0; first += rows) {
    block = next;
    take_rows(batch, first + rows, rows, next);
    prefetch(next, columns);
    for (int64_t i = 0; i < block.count; ++i) {
      logits[i] = dot<scaled>(pass, block.rows[i], columns) + pass.bias;
    }
    if (pass.logits) std::copy_n(logits, block.count, pass.logits + first);
    if (!labelled) continue;
    for (int64_t i = 0; i < block.count; ++i) {
      labels[i] = static_cast<float>(batch.data->labels[batch.sample(first + i)]);
    }
    block_loss(logits, labels, block.count, errors, sums);
    if (pass.gradient) accumulate<scaled>(pass, block, errors, columns);
  }
  sums.metrics.count = batch.size();
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
