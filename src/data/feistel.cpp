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

// A vector of words with the operators that feistel-inl.h asks of its W.
struct Words {
  hn::Vec<Lanes> raw;

  HWY_INLINE explicit Words(hn::Vec<Lanes> vector) : raw(vector) {}
  HWY_INLINE explicit Words(uint32_t value) : raw(hn::Set(Lanes(), value)) {}

  friend HWY_INLINE Words operator^(Words a, Words b) { return Words(hn::Xor(a.raw, b.raw)); }
  friend HWY_INLINE Words operator&(Words a, Words b) { return Words(hn::And(a.raw, b.raw)); }
  friend HWY_INLINE Words operator*(Words a, Words b) { return Words(hn::Mul(a.raw, b.raw)); }
};

template <int bits>
HWY_INLINE Words shift_right(Words a) {
  return Words(hn::ShiftRight<bits>(a.raw));
}

#include "lockstep/feistel-inl.h"

HWY_INLINE Words load(const uint32_t* from) {
  return Words(hn::LoadU(Lanes(), from));
}
HWY_INLINE void store(Words value, uint32_t* to) {
  hn::StoreU(value.raw, Lanes(), to);
}

// Two vectors side by side: the rounds of one are a chain of multiplications.
void apply(const PermutationDomain& domain, const PermutationKeys& keys, uint32_t* left,
           uint32_t* right, size_t count) {
  const size_t lanes = hn::Lanes(Lanes());
  const Words left_mask(domain.left_mask), right_mask(domain.right_mask);
  for (size_t i = 0; i < count; i += 2 * lanes) {
    Words l0 = load(left + i), l1 = load(left + i + lanes);
    Words r0 = load(right + i), r1 = load(right + i + lanes);
    for (int round = 0; round < domain.rounds; round += 2) {
      feistel_rounds(keys.words + round, left_mask, right_mask, l0, r0);
      feistel_rounds(keys.words + round, left_mask, right_mask, l1, r1);
    }
    store(l0, left + i);
    store(l1, left + i + lanes);
    store(r0, right + i);
    store(r1, right + i + lanes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(apply);

void apply_feistel(const PermutationDomain& domain, const PermutationKeys& keys, size_t count,
                   std::span<uint32_t> left, std::span<uint32_t> right) {
  HWY_DYNAMIC_DISPATCH(apply)(domain, keys, left.data(), right.data(), count);
}

}  // namespace lockstep
#endif
