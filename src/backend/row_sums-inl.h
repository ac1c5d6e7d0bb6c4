// Sums of the lanes of kLanes vectors, all at once: lane r of the result is the sum of vector r.
//
// Pairs of vectors are folded into one until one is left, log2(kLanes) times: two shuffles and an
// addition each, 2 (kLanes - 1) shuffles for kLanes sums. Calls Highway unqualified for the reason
// that transpose-inl.h gives.
#if defined(LOCKSTEP_BACKEND_ROW_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_ROW_SUMS_INL_H_
#undef LOCKSTEP_BACKEND_ROW_SUMS_INL_H_
#else
#define LOCKSTEP_BACKEND_ROW_SUMS_INL_H_
#endif

#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// The four sums of each block of a, b, c, d, side by side in that block.
template <class D, class V>
HWY_INLINE V fold_blocks(D d, V a, V b, V c, V e) {
  const hn::Repartition<uint64_t, D> pairs;
  const V ab = Add(InterleaveLower(d, a, b), InterleaveUpper(d, a, b));
  const V ce = Add(InterleaveLower(d, c, e), InterleaveUpper(d, c, e));
  const auto ab2 = BitCast(pairs, ab), ce2 = BitCast(pairs, ce);
  return Add(BitCast(d, InterleaveLower(pairs, ab2, ce2)),
             BitCast(d, InterleaveUpper(pairs, ab2, ce2)));
}

// Blocks 0 and 1 of a, folded, are block 0 of the result, 2 and 3 block 2; those of b 1 and 3.
template <class V>
HWY_INLINE V fold_adjacent(V a, V b) {
  return Add(OddEvenBlocks(SwapAdjacentBlocks(b), a), OddEvenBlocks(b, SwapAdjacentBlocks(a)));
}

// The halves of a, folded, are the lower half of the result, those of b the upper.
template <class D, class V>
HWY_INLINE V fold_halves(D d, V a, V b) {
  return Add(ConcatLowerLower(d, b, a), ConcatUpperUpper(d, b, a));
}

template <class D, class V>
HWY_INLINE V sum_rows(D d, const V* rows) {
  constexpr size_t kRows = hn::MaxLanes(D());
  if constexpr (kRows == 1) {
    return rows[0];
  } else if constexpr (kRows == 4) {
    return fold_blocks(d, rows[0], rows[1], rows[2], rows[3]);
  } else if constexpr (kRows == 8) {
    return fold_blocks(d, fold_halves(d, rows[0], rows[4]), fold_halves(d, rows[1], rows[5]),
                       fold_halves(d, rows[2], rows[6]), fold_halves(d, rows[3], rows[7]));
  } else {
    static_assert(kRows == 16);
    const auto quarter = [&](int r) __attribute__((always_inline)) HWY_ATTR {
      return fold_adjacent(fold_halves(d, rows[r], rows[8 + r]),
                           fold_halves(d, rows[4 + r], rows[12 + r]));
    };
    return fold_blocks(d, quarter(0), quarter(1), quarter(2), quarter(3));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_ROW_SUMS_INL_H_
