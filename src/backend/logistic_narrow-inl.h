// Logistic regression's pass over rows of at most four vectors: weights and gradient sums
// stay in registers, and the dot products of kLanes rows are summed across their lanes together.
#if defined(LOCKSTEP_BACKEND_LOGISTIC_NARROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_LOGISTIC_NARROW_INL_H_
#undef LOCKSTEP_BACKEND_LOGISTIC_NARROW_INL_H_
#else
#define LOCKSTEP_BACKEND_LOGISTIC_NARROW_INL_H_
#endif

#include "backend/logistic_block-inl.h"
#include "backend/row_sums-inl.h"
#include "backend/tile-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// Rows whose gradients are added by one iteration.
inline constexpr int kGradientGroup = 8;

// Rows of V vectors, of which the last holds `rest` columns: the data set's own where they are
// adjacent floats or bf16 that need no scaling, else a copy in the first-level cache.
template <int V, class T>
struct NarrowRows {
  const T* data;
  int64_t stride;
  size_t rest;

  HWY_INLINE Floats load_vector(const T* row, int v) const {
    return v + 1 < V ? load(row + v * kLanes) : load_tail(row + v * kLanes, rest);
  }

  // Calls with i and row `first` + i, i in [0, N), in fours that share a pointer.
  template <int N, class Call>
  HWY_INLINE void for_each(int64_t first, const Call& call) const {
    constexpr int kFour = N < 4 ? N : 4;
    const T* four = data + first * stride;
    unroll<N / kFour>([&](auto group) __attribute__((always_inline)) HWY_ATTR {
      unroll<kFour>([&](auto i) __attribute__((always_inline)) HWY_ATTR {
        call(std::integral_constant<int, group * kFour + i>(), four + i * stride);
      });
      four += kFour * stride;
    });
  }
};

// Copies a block's rows, converted and scaled.
template <int V, bool scaled, class T>
HWY_INLINE void stage_rows(const LogisticPass::Request& pass, const Block<T>& block, size_t rest,
                           float* to) {
  for (int64_t i = 0; i < kBlockRows; ++i) {
    unroll<V>([&](auto v) __attribute__((always_inline)) HWY_ATTR {
      const auto load_at = [=](const auto* base) __attribute__((always_inline)) HWY_ATTR {
        return v + 1 < V ? load(base + v * kLanes) : load_tail(base + v * kLanes, rest);
      };
      store(feature<scaled>(pass, load_at, block.rows[i]), to + (i * V + v) * kLanes);
    });
  }
}

// logits[i] = weights . row i + bias for a whole block.
template <int V, class T>
HWY_INLINE void narrow_logits(const NarrowRows<V, T>& rows, const Floats* weights, float bias,
                              float* logits, PrefetchStream& ahead) {
  constexpr int kGroup = static_cast<int>(kLanes);
  for (int64_t first = 0; first < kBlockRows; first += kGroup) {
    FloatVector products[kGroup];
    ahead.fetch();
    rows.template for_each<kGroup>(
        first, [&](auto i, const T* row) __attribute__((always_inline)) HWY_ATTR {
          Floats sum = rows.load_vector(row, 0) * weights[0];
          unroll<V - 1>([&](auto v) __attribute__((always_inline))
                        HWY_ATTR { sum = fma(rows.load_vector(row, v + 1), weights[v + 1], sum); });
          products[i] = sum.raw;
        });
    store(Floats(sum_rows(FloatTag(), products)) + Floats(bias), logits + first);
  }
}

// Gradient sums of V vectors, in chains that do not wait for each other.
template <int V>
class NarrowGradient {
 public:
  HWY_INLINE NarrowGradient() {
    unroll<V * kChains>([&](auto i) __attribute__((always_inline))
                        HWY_ATTR { sums_[i / kChains][i % kChains] = Floats(0.0f); });
  }

  template <class T>
  HWY_INLINE void add(const NarrowRows<V, T>& rows, const float* errors, PrefetchStream& ahead) {
    Floats sums[V][kChains];  // in registers: `this` would be stored to after every row
    copy(sums_, sums);
    for (int64_t first = 0; first < kBlockRows; first += kGradientGroup) {
      ahead.fetch();
      rows.template for_each<kGradientGroup>(
          first, [&](auto i, const T* row) __attribute__((always_inline)) HWY_ATTR {
            const Floats error(errors[first + i]);
            unroll<V>([&](auto v) __attribute__((always_inline)) HWY_ATTR {
              Floats& sum = sums[v][i % kChains];
              sum = fma(error, rows.load_vector(row, v), sum);
            });
          });
    }
    copy(sums, sums_);
  }

  HWY_INLINE void store_to(float* gradient, size_t rest) const {
    unroll<V - 1>([&](auto v) __attribute__((always_inline))
                  HWY_ATTR { store(total(v), gradient + v * kLanes); });
    store_tail(total(V - 1), gradient + (V - 1) * kLanes, rest);
  }

 private:
  static constexpr int kChains = V * 4 <= kTileRows ? 4 : 2;

  HWY_INLINE Floats total(int v) const {
    Floats sum = sums_[v][0] + sums_[v][1];
    if constexpr (kChains == 4) sum = sum + (sums_[v][2] + sums_[v][3]);
    return sum;
  }

  static HWY_INLINE void copy(const Floats (&from)[V][kChains], Floats (&to)[V][kChains]) {
    unroll<V * kChains>([&](auto i) __attribute__((always_inline)) HWY_ATTR {
      to[i / kChains][i % kChains] = from[i / kChains][i % kChains];
    });
  }

  Floats sums_[V][kChains];
};

// Weights, sums and scratch memory of a pass in hand.
template <int V>
class NarrowPass {
 public:
  HWY_INLINE explicit NarrowPass(const LogisticPass::Request& pass)
      : pass_(pass),
        labelled_(!pass.batch.data->labels.empty()),
        rest_(static_cast<size_t>(pass.batch.data->features.columns) - (V - 1) * kLanes) {
    const NarrowRows<V, float> weights{pass.weights, 0, rest_};
    unroll<V>([&](auto v) __attribute__((always_inline))
              HWY_ATTR { weights_[v] = weights.load_vector(pass.weights, v); });
  }

  // Rows [first, first + count) of the batch; REQUIRES: kBlockRows rows readable.
  template <class T>
  HWY_INLINE void add(const NarrowRows<V, T>& rows, int64_t first, int64_t count,
                      PrefetchStream ahead = {}) {
    narrow_logits(rows, weights_, pass_.bias, logits_, ahead);
    if (pass_.logits) std::copy_n(logits_, count, pass_.logits + first);
    if (!labelled_) return;
    take_labels(pass_.batch, first, count, labels_);
    losses_.add(logits_, labels_, count, errors_, ahead);
    if (pass_.gradient) gradient_.add(rows, errors_, ahead);
  }

  HWY_INLINE LogisticPass::Sums finish() const {
    if (pass_.gradient) gradient_.store_to(pass_.gradient, rest_);
    return losses_.total(pass_.batch.size());
  }

  HWY_INLINE size_t rest() const { return rest_; }

 private:
  const LogisticPass::Request& pass_;
  bool labelled_;
  size_t rest_;
  Floats weights_[V];
  NarrowGradient<V> gradient_;
  LossLanes losses_;
  HWY_ALIGN float logits_[kBlockRows] = {};
  HWY_ALIGN float labels_[kBlockRows] = {};
  HWY_ALIGN float errors_[kBlockRows] = {};
};

// Rows that are copied first.
template <int V, bool scaled, class T>
HWY_INLINE void add_staged(const LogisticPass::Request& pass, int64_t first,
                           NarrowPass<V>& narrow) {
  constexpr int64_t kAhead = 1;  // blocks: the order may be one that no hardware foresees
  const Batch& batch = pass.batch;
  HWY_ALIGN float staged[kBlockRows * V * kLanes];
  Block<T> block, ahead;
  for (; first < batch.size(); first += kBlockRows) {
    block.take(batch, first, kBlockRows);
    ahead.take(batch, first + kAhead * kBlockRows, kBlockRows);
    for (int64_t i = 0; i < ahead.count; ++i) {
      hwy::Prefetch(ahead.rows[i]);
      hwy::Prefetch(ahead.rows[i] + batch.data->features.columns - 1);
    }
    stage_rows<V, scaled>(pass, block, narrow.rest(), staged);
    const NarrowRows<V, float> rows{staged, V * static_cast<int64_t>(kLanes), narrow.rest()};
    narrow.add(rows, first, block.count);
  }
}

template <int V, bool scaled, class T>
HWY_INLINE LogisticPass::Sums run_narrow(const LogisticPass::Request& pass) {
  NarrowPass<V> narrow(pass);
  int64_t first = 0;
  if constexpr (!scaled && !std::is_same_v<T, uint8_t>) {
    constexpr int64_t kAhead = 2;  // blocks
    const Batch& batch = pass.batch;
    const int64_t columns = batch.data->features.columns;
    for (; batch.contiguous && first + kBlockRows <= batch.size(); first += kBlockRows) {
      const T* const rows = static_cast<const T*>(batch.data->features.data) +
                            (batch.contiguous_range.begin + first) * columns;
      // Each of the phases' iterations asks for its share of a block.
      constexpr int64_t kIterations = 2 * kBlockRows / kLanes + kBlockRows / kGradientGroup;
      constexpr int64_t kLine = 64 / sizeof(T);
      const int64_t lines = (kBlockRows * columns / kLine + kIterations - 1) / kIterations;
      const NarrowRows<V, T> block{rows, columns, narrow.rest()};
      narrow.add(block, first, kBlockRows, {rows + kAhead * kBlockRows * columns, lines});
    }
  }
  add_staged<V, scaled, T>(pass, first, narrow);
  return narrow.finish();
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_LOGISTIC_NARROW_INL_H_
