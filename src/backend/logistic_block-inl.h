// What both ways through logistic regression's pass share: a block of rows, its labels, its loss.
#if defined(LOCKSTEP_BACKEND_LOGISTIC_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_LOGISTIC_BLOCK_INL_H_
#undef LOCKSTEP_BACKEND_LOGISTIC_BLOCK_INL_H_
#else
#define LOCKSTEP_BACKEND_LOGISTIC_BLOCK_INL_H_
#endif

#include <algorithm>

#include "backend/logistic.h"
#include "backend/simd-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// Rows of a block: whole vectors of logits on every target, several of them, so that the chains of
// their losses run side by side.
inline constexpr int64_t kBlockRows = 64;

// Up to kBlockRows rows; pointers beyond `count` repeat the first one.
template <class T>
struct Block {
  const T* rows[kBlockRows];
  int64_t count = 0;

  // Rows [first, first + rows) of the batch, as far as it has them.
  HWY_INLINE void take(const Batch& batch, int64_t first, int64_t at_most) {
    const FeatureMatrix& features = batch.data->features;
    const auto* data = static_cast<const T*>(features.data);
    count = std::min(at_most, batch.size() - first);
    for (int64_t i = 0; i < count; ++i) {
      rows[i] = data + batch.sample(first + i) * features.columns;
    }
    if (count <= 0) return;
    for (int64_t i = count; i < kBlockRows; ++i) rows[i] = rows[0];
  }
};

// Row i's features as they enter the dot product, at the vector that `load_at` reads.
template <bool scaled, class LoadAt, class T>
HWY_INLINE Floats feature(const LogisticPass::Request& pass, LoadAt load_at, const T* row) {
  if constexpr (scaled) return fma(load_at(row), load_at(pass.scale), load_at(pass.offset));
  return load_at(row);
}

// A batch's labels as floats, contiguous ones a vector at a time.
HWY_INLINE void take_labels(const Batch& batch, int64_t first, int64_t count, float* labels) {
  const int32_t* all = batch.data->labels.data();
  if (batch.contiguous && count == kBlockRows) {
    const hn::Rebind<int32_t, FloatTag> ints;
    const int32_t* from = all + batch.contiguous_range.begin + first;
    for (int64_t i = 0; i < kBlockRows; i += kLanes) {
      store(Floats(hn::ConvertTo(FloatTag(), hn::LoadU(ints, from + i))), labels + i);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    labels[i] = static_cast<float>(all[batch.sample(first + i)]);
  }
}

// Cache lines to ask for, a few at each call, so that memory works while the loops compute:
// hardware alone fetches in the loop that reads and idles in the others.
struct PrefetchStream {
  const void* next = nullptr;
  int64_t lines = 0;  // a call; beyond the data they are harmless

  HWY_INLINE void fetch() {
    const auto* line = static_cast<const uint8_t*>(next);
    for (int64_t i = 0; i < lines; ++i, line += 64) hwy::Prefetch(line);
    next = line;
  }
};

// Sums over a pass, lane by lane until the end: sample i of every block goes to lane i.
struct LossLanes {
  double loss[kBlockRows] = {};
  HWY_ALIGN float bias_gradient[kBlockRows] = {};
  int64_t correct = 0;

  // Adds a block's losses and writes its errors, sigmoid(logit) - label; zero beyond `count`.
  HWY_INLINE void add(const float* logits, const float* labels, int64_t count, float* errors,
                      PrefetchStream& ahead) {
    const FloatTag d;
    const FloatVector zero = hn::Zero(d);
    HWY_ALIGN float losses[kBlockRows];
    int64_t rows = 0;
    for (; rows < count; rows += kLanes) {
      const int64_t i = rows;
      ahead.fetch();
      const Floats logit = load(logits + i);
      const Floats label = load(labels + i);
      const auto present = hn::FirstN(d, static_cast<size_t>(std::max<int64_t>(count - i, 0)));
      Floats value, error;
      binary_cross_entropy_gradient(logit, label, value, error);
      error = Floats(hn::IfThenElseZero(present, error.raw));
      store(Floats(hn::IfThenElseZero(present, value.raw)), losses + i);
      store(error, errors + i);
      store(load(bias_gradient + i) + error, bias_gradient + i);
      // Right where logit and label lie on the same side of 0; never where the logit is NaN.
      const auto wrong = hn::Xor(hn::Gt(logit.raw, zero), hn::Gt(label.raw, zero));
      const auto right = hn::AndNot(wrong, hn::And(present, hn::Eq(logit.raw, logit.raw)));
      correct += static_cast<int64_t>(hn::CountTrue(d, right));
    }
    const hn::ScalableTag<double> wide;
    const hn::Rebind<float, decltype(wide)> narrow;
    for (int64_t i = 0; i < rows; i += hn::Lanes(wide)) {
      const auto more = hn::PromoteTo(wide, hn::LoadU(narrow, losses + i));
      hn::StoreU(hn::Add(hn::LoadU(wide, loss + i), more), wide, loss + i);
    }
    std::fill(errors + rows, errors + kBlockRows, 0.0f);
  }

  HWY_INLINE LogisticPass::Sums total(int64_t count) const {
    LogisticPass::Sums sums;
    for (int64_t i = 0; i < kBlockRows; ++i) {
      sums.metrics.loss += loss[i];
      sums.bias_gradient += bias_gradient[i];
    }
    sums.metrics.correct = correct;
    sums.metrics.count = count;
    return sums;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_LOGISTIC_BLOCK_INL_H_
