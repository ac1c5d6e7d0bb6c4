// Four columns of kLanes rows at a time between row-major order and panels.
//
// A vector of L lanes has L / 4 blocks of four. Transposing four vectors block by block takes two
// rounds of interleaving; what moves between blocks goes through 16-byte loads and stores.
//
// Highway's functions are called unqualified here: a target of single lanes lacks some of them, and
// must not look them up in branches that it never takes.
#if defined(LOCKSTEP_BACKEND_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_TRANSPOSE_INL_H_
#undef LOCKSTEP_BACKEND_TRANSPOSE_INL_H_
#else
#define LOCKSTEP_BACKEND_TRANSPOSE_INL_H_
#endif

#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// Block b of the result is the four floats at from + b * step.
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const float* from, int64_t step) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    return LoadU(d, from);
  } else {
    const hn::Half<D> half;
    constexpr int64_t kHalfBlocks = hn::MaxLanes(D()) / 8;
    return Combine(d, load_blocks(half, from + kHalfBlocks * step, step),
                   load_blocks(half, from, step));
  }
}

template <class D, class V>
HWY_INLINE void store_blocks(D d, V vector, float* to, int64_t step) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    StoreU(vector, d, to);
  } else {
    const hn::Half<D> half;
    constexpr int64_t kHalfBlocks = hn::MaxLanes(D()) / 8;
    store_blocks(half, LowerHalf(half, vector), to, step);
    store_blocks(half, UpperHalf(half, vector), to + kHalfBlocks * step, step);
  }
}

// Block b of rows[j] becomes element j of block b of what was rows[0], rows[1], rows[2], rows[3].
template <class D, class V>
HWY_INLINE void transpose_blocks(D d, V (&rows)[4]) {
  const hn::Repartition<uint64_t, D> pairs;
  const auto low01 = BitCast(pairs, InterleaveLower(d, rows[0], rows[1]));
  const auto high01 = BitCast(pairs, InterleaveUpper(d, rows[0], rows[1]));
  const auto low23 = BitCast(pairs, InterleaveLower(d, rows[2], rows[3]));
  const auto high23 = BitCast(pairs, InterleaveUpper(d, rows[2], rows[3]));
  rows[0] = BitCast(d, InterleaveLower(pairs, low01, low23));
  rows[1] = BitCast(d, InterleaveUpper(pairs, low01, low23));
  rows[2] = BitCast(d, InterleaveLower(pairs, high01, high23));
  rows[3] = BitCast(d, InterleaveUpper(pairs, high01, high23));
}

// columns[j] = element j of kLanes rows that lie `stride` apart, j < 4.
template <class D, class V>
HWY_INLINE void load_columns(D d, const float* rows, int64_t stride, V (&columns)[4]) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    for (int j = 0; j < 4; ++j) columns[j] = LoadU(d, rows + j);
  } else {
    for (int r = 0; r < 4; ++r) columns[r] = load_blocks(d, rows + r * stride, 4 * stride);
    transpose_blocks(d, columns);
  }
}

// The reverse; overwrites `columns`.
template <class D, class V>
HWY_INLINE void store_columns(D d, V (&columns)[4], float* rows, int64_t stride) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    for (int j = 0; j < 4; ++j) StoreU(columns[j], d, rows + j);
  } else {
    transpose_blocks(d, columns);
    for (int r = 0; r < 4; ++r) store_blocks(d, columns[r], rows + r * stride, 4 * stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_TRANSPOSE_INL_H_
