// bf16 in Highway vectors: rounding, and rows in the two layouts that products read.
//
// Included once per SIMD target (see foreach_target.h), hence the toggled guard.
#if defined(LOCKSTEP_BACKEND_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_BF16_INL_H_
#undef LOCKSTEP_BACKEND_BF16_INL_H_
#else
#define LOCKSTEP_BACKEND_BF16_INL_H_
#endif

#include <algorithm>

#include "backend/bf16_ops.h"
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

using HalfTag = hn::RebindToUnsigned<FloatTag>;
using HalfVector = hn::Vec<HalfTag>;

// The bf16 of each lane in its upper half; what is in the lower half is of no account.
HWY_INLINE HalfVector rounded(FloatVector values) {
  const HalfTag d;
  const HalfVector bits = hn::BitCast(d, values);
  const HalfVector odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const HalfVector nearest = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7FFFu)));
  const HalfVector quiet = hn::Or(bits, hn::Set(d, 0x400000u));
  return hn::IfThenElse(hn::RebindMask(d, hn::Eq(values, values)), nearest, quiet);
}

// One word a lane: the bf16 of `even` in its lower half, of `odd` in its upper.
HWY_INLINE HalfVector paired(HalfVector even, HalfVector odd) {
  return hn::Or(hn::ShiftRight<16>(even), hn::AndNot(hn::Set(HalfTag(), 0xFFFFu), odd));
}

HWY_INLINE void store_pairs(HalfVector words, Bf16* to) {
  hn::StoreU(words, HalfTag(), reinterpret_cast<uint32_t*>(to));
}

HWY_INLINE void store_bf16(HalfVector values, Bf16* to) {
  const hn::RebindToSigned<HalfTag> ints;
  const hn::Rebind<uint16_t, HalfTag> halves;
  const auto upper = hn::BitCast(ints, hn::ShiftRight<16>(values));
  hn::StoreU(hn::DemoteTo(halves, upper), halves, &to->bits);
}

HWY_INLINE void store_bf16_tail(HalfVector values, Bf16* to, size_t count) {
  HWY_ALIGN Bf16 lanes[kLanes];
  store_bf16(values, lanes);
  std::memcpy(to, lanes, count * sizeof(Bf16));
}

// Rows `row` and, where `has_odd`, row + 1 of a matrix of `columns` columns, as RoundedRows wants
// them. load(odd, load_at) gives a vector of one of the two, load_at as for_each_vector's.
template <class Load>
HWY_INLINE void store_row_pair(const RoundedRows& to, int64_t row, bool has_odd, int64_t columns,
                               const Load& load) {
  Bf16* even_row = to.rows ? to.rows + row * columns : nullptr;
  Bf16* odd_row = to.rows ? even_row + columns : nullptr;
  for (int64_t j = 0; j < columns; j += static_cast<int64_t>(kLanes)) {
    const size_t count = std::min<size_t>(kLanes, columns - j);
    const bool whole = count == kLanes;
    const auto rounded_row = [&](bool odd) HWY_ATTR {
      if (whole) {
        return rounded(load(odd, [j](const auto* base) HWY_ATTR {
                         return lockstep::HWY_NAMESPACE::load(base + j);
                       }).raw);
      }
      return rounded(load(odd, [j, count](const auto* base) HWY_ATTR {
                       return load_tail(base + j, count);
                     }).raw);
    };
    const auto store_row = [&](HalfVector values, Bf16* at) HWY_ATTR {
      if (whole) return store_bf16(values, at + j);
      store_bf16_tail(values, at + j, count);
    };
    const HalfVector even = rounded_row(false);
    const HalfVector odd = has_odd ? rounded_row(true) : hn::Zero(HalfTag());
    if (to.rows) store_row(even, even_row);
    if (to.rows && has_odd) store_row(odd, odd_row);
    // A strip is whole vectors: beyond the last column it gets zeros.
    if (to.pairs.data) {
      store_pairs(paired(even, odd), to.pairs.data + to.pairs.layout.index(row, j));
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_BF16_INL_H_
