// Philox4x32-10 in vectors: lane i draws for counter lane i, bit for bit what lockstep/rng.h draws.
#if defined(LOCKSTEP_BACKEND_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_PHILOX_INL_H_
#undef LOCKSTEP_BACKEND_PHILOX_INL_H_
#else
#define LOCKSTEP_BACKEND_PHILOX_INL_H_
#endif

#include "hwy/highway.h"
#include "lockstep/rng.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using WordTag = hn::ScalableTag<uint32_t>;
using Words = hn::Vec<WordTag>;

struct PhiloxVectors {
  Words x, y, z, w;
};

// High and low halves of the 64-bit products a * b, lane by lane.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void multiply_wide(D d, V a, V b, V& high, V& low) {
  if constexpr (HWY_TARGET == HWY_SCALAR) {
    const uint64_t product = uint64_t{hn::GetLane(a)} * hn::GetLane(b);
    high = hn::Set(d, static_cast<uint32_t>(product >> 32));
    low = hn::Set(d, static_cast<uint32_t>(product));
  } else {
    // Products of the even lanes, and of the odd ones moved to even places. Two of these are
    // cheaper than a 32-bit multiplication, which takes two passes of its own.
    const hn::Repartition<uint64_t, D> wide;
    const auto odd_a = hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, a)));
    const auto even = hn::MulEven(a, b);
    const auto odd = hn::MulEven(odd_a, b);  // b holds one constant in every lane
    high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
    low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  }
}

HWY_INLINE PhiloxVectors philox(PhiloxVectors counter, uint32_t key0, uint32_t key1) {
  const WordTag d;
  const Words multiplier0 = hn::Set(d, 0xD2511F53u);
  const Words multiplier1 = hn::Set(d, 0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    Words high0, low0, high1, low1;
    multiply_wide(d, counter.x, multiplier0, high0, low0);
    multiply_wide(d, counter.z, multiplier1, high1, low1);
    counter = {hn::Xor(hn::Xor(high1, counter.y), hn::Set(d, key0)), low1,
               hn::Xor(hn::Xor(high0, counter.w), hn::Set(d, key1)), low0};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_PHILOX_INL_H_
