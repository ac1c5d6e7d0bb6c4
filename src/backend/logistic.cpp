#include "backend/logistic.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/logistic.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/logistic_block-inl.h"
#include "backend/logistic_narrow-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Few enough bytes that a block stays in a first-level cache of 32 KiB until it is read again.
constexpr int64_t kBlockBytes = 24 * 1024;

using Pass = LogisticPass::Request;
using Sums = LogisticPass::Sums;

// Rows that share the loads of weights, and of the gradient.
constexpr int kFour = 4;

template <class Call>
HWY_INLINE void for_four(const Call& call) {
  unroll<kFour>(call);
}

// logits[r] = weights . rows[r] + bias; asks for the rows `next` meanwhile.
template <bool scaled, class T>
HWY_INLINE void dot_four(const Pass& pass, const T* const* rows, const T* const* next,
                         size_t columns, float* logits) {
  constexpr size_t kLine = 64 / sizeof(T);
  Floats sums[2][kFour];
  for_four([&](auto r) __attribute__((always_inline))
           HWY_ATTR { sums[0][r] = sums[1][r] = Floats(0.0f); });
  const auto add = [&](Floats(&to)[kFour], auto load_at) __attribute__((always_inline)) HWY_ATTR {
    const Floats weights = load_at(pass.weights);
    for_four([&](auto r) __attribute__((always_inline))
             HWY_ATTR { to[r] = fma(feature<scaled>(pass, load_at, rows[r]), weights, to[r]); });
  };
  const auto at = [](size_t i) HWY_ATTR {
    return [i](const auto* base) __attribute__((always_inline)) HWY_ATTR {
      return load(base + i);
    };
  };
  size_t i = 0;
  for (; i + 2 * kLanes <= columns; i += 2 * kLanes) {
    for (size_t k = 0; k < 2 * kLanes; k += kLine) {
      for_four([&](auto r) __attribute__((always_inline))
               HWY_ATTR { hwy::Prefetch(next[r] + i + k); });
    }
    add(sums[0], at(i));
    add(sums[1], at(i + kLanes));
  }
  if (i + kLanes <= columns) {
    add(sums[0], at(i));
    i += kLanes;
  }
  if (i < columns) {
    const size_t rest = columns - i;
    add(
        sums[1], [ i, rest ](const auto* base) __attribute__((always_inline))
                 HWY_ATTR { return load_tail(base + i, rest); });
  }
  for_four([&](auto r) __attribute__((always_inline)) HWY_ATTR {
    const Floats total = sums[0][r] + sums[1][r];
    logits[r] = hn::GetLane(hn::SumOfLanes(FloatTag(), total.raw)) + pass.bias;
  });
}

// gradient += errors[r] rows[r]
template <bool scaled, class T>
HWY_INLINE void accumulate_four(const Pass& pass, const T* const* rows, const float* errors,
                                size_t columns) {
  for_each_vector(
      columns, [&](auto load_at, auto store_at) __attribute__((always_inline)) HWY_ATTR {
        Floats sum = load_at(pass.gradient);
        for_four([&](auto r) __attribute__((always_inline)) HWY_ATTR {
          sum = fma(Floats(errors[r]), feature<scaled>(pass, load_at, rows[r]), sum);
        });
        store_at(sum, pass.gradient);
      });
}

template <bool scaled, class T>
HWY_INLINE Sums run_wide(const Pass& pass) {
  const Batch& batch = pass.batch;
  const auto columns = static_cast<size_t>(batch.data->features.columns);
  const bool labelled = !batch.data->labels.empty();
  const auto fitting = kBlockBytes / static_cast<int64_t>(columns * sizeof(T));
  const int64_t rows = std::clamp<int64_t>(fitting / kFour * kFour, kFour, kBlockRows);
  LossLanes losses;
  HWY_ALIGN float logits[kBlockRows] = {};
  HWY_ALIGN float labels[kBlockRows] = {};
  HWY_ALIGN float errors[kBlockRows] = {};
  PrefetchStream no_stream;
  Block<T> block, next;
  next.take(batch, 0, rows);
  for (int64_t first = 0; next.count > 0; first += rows) {
    block = next;
    next.take(batch, first + rows, rows);
    for (int64_t i = 0; i < block.count; i += kFour) {
      dot_four<scaled>(pass, block.rows + i, next.rows + i, columns, logits + i);
    }
    if (pass.logits) std::copy_n(logits, block.count, pass.logits + first);
    if (!labelled) continue;
    take_labels(batch, first, block.count, labels);
    losses.add(logits, labels, block.count, errors, no_stream);
    if (!pass.gradient) continue;
    for (int64_t i = 0; i < block.count; i += kFour) {
      accumulate_four<scaled>(pass, block.rows + i, errors + i, columns);
    }
  }
  return losses.total(batch.size());
}

template <bool scaled, class T>
HWY_INLINE Sums run(const Pass& pass) {
  switch ((pass.batch.data->features.columns + kLanes - 1) / kLanes) {
    case 1: return run_narrow<1, scaled, T>(pass);
    case 2: return run_narrow<2, scaled, T>(pass);
    case 3: return run_narrow<3, scaled, T>(pass);
    case 4: return run_narrow<4, scaled, T>(pass);
    default: return run_wide<scaled, T>(pass);
  }
}

Sums run_floats(const Pass& pass) {
  return pass.scale ? run<true, float>(pass) : run<false, float>(pass);
}

Sums run_bytes(const Pass& pass) {
  return run<false, uint8_t>(pass);
}

Sums run_halves(const Pass& pass) {
  return run<false, Bf16>(pass);
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
HWY_EXPORT(run_halves);
HWY_EXPORT(unfold);

LogisticPass::LogisticPass(const FeatureScaling& scaling, int64_t columns)
    : scaling_(scaling), columns_(columns), folded_(scaling.identity() ? 0 : columns) {}

LogisticPass::Sums LogisticPass::run(Request request) {
  const FeatureType type = request.batch.data->features.type;
  if (type == FeatureType::float32) {
    request.scale = scaling_.scale();
    request.offset = scaling_.offset();
    return HWY_DYNAMIC_DISPATCH(run_floats)(request);
  }
  const auto run_stored = [type](const Request& pass) {
    return type == FeatureType::uint8 ? HWY_DYNAMIC_DISPATCH(run_bytes)(pass)
                                      : HWY_DYNAMIC_DISPATCH(run_halves)(pass);
  };
  if (scaling_.identity()) return run_stored(request);
  double folded_bias = request.bias;
  for (int64_t j = 0; j < columns_; ++j) {
    folded_[j] = request.weights[j] * scaling_.scale()[j];
    folded_bias += static_cast<double>(request.weights[j]) * scaling_.offset()[j];
  }
  request.weights = folded_.data();
  request.bias = static_cast<float>(folded_bias);
  const Sums sums = run_stored(request);
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
