#include "data/feistel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/feistel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::CappedTag<uint32_t, kFeistelStride / 2>;
using Words = hn::Vec<Lanes>;

// The round function: a keyed mix of 32 bits (multiplicative hashing with xor-shifts, so that low
// bits depend on high ones). It need not be invertible, the network is.
Words mix(Words half, uint32_t key) {
  const Lanes d;
  Words h = hn::Mul(hn::Xor(half, hn::Set(d, key)), hn::Set(d, 0x9E3779B1u));
  h = hn::Mul(hn::Xor(h, hn::ShiftRight<15>(h)), hn::Set(d, 0x85EBCA77u));
  return hn::Xor(h, hn::ShiftRight<16>(h));
}

// Two vectors side by side: the rounds of one are a chain of multiplications.
void apply(const FeistelNetwork& network, uint32_t* left, uint32_t* right, size_t count) {
  const Lanes d;
  const size_t lanes = hn::Lanes(d);
  const Words left_mask = hn::Set(d, network.left_mask);
  const Words right_mask = hn::Set(d, network.right_mask);
  for (size_t i = 0; i < count; i += 2 * lanes) {
    Words l0 = hn::LoadU(d, left + i), l1 = hn::LoadU(d, left + i + lanes);
    Words r0 = hn::LoadU(d, right + i), r1 = hn::LoadU(d, right + i + lanes);
    for (int round = 0; round < network.rounds; round += 2) {
      l0 = hn::Xor(l0, hn::And(mix(r0, network.keys[round]), left_mask));
      l1 = hn::Xor(l1, hn::And(mix(r1, network.keys[round]), left_mask));
      r0 = hn::Xor(r0, hn::And(mix(l0, network.keys[round + 1]), right_mask));
      r1 = hn::Xor(r1, hn::And(mix(l1, network.keys[round + 1]), right_mask));
    }
    hn::StoreU(l0, d, left + i);
    hn::StoreU(l1, d, left + i + lanes);
    hn::StoreU(r0, d, right + i);
    hn::StoreU(r1, d, right + i + lanes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(apply);

void FeistelNetwork::apply(size_t count, std::span<uint32_t> left,
                           std::span<uint32_t> right) const {
  HWY_DYNAMIC_DISPATCH(apply)(*this, left.data(), right.data(), count);
}

}  // namespace lockstep
#endif
