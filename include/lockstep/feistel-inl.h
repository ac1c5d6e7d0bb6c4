// The rounds of the sampler's Feistel network, written once over the word type W: uint32_t
// (lockstep/permutation.h) and the SIMD vectors of src/data/feistel.cpp. W needs ^ & *,
// shift_right<bits>(w), and construction from uint32_t by `W(x)`.
//
// No include guard and no namespace: it is included once for the host and device, and once for each
// SIMD target, inside a namespace that compiles for that target's instructions.

// The round function: a keyed mix of 32 bits (multiplicative hashing with xor-shifts, so that low
// bits depend on high ones). It need not be invertible, the network is.
template <class W>
LOCKSTEP_HD W feistel_mix(W half, uint32_t key) {
  W h = (half ^ W(key)) * W(0x9E3779B1u);
  h = (h ^ shift_right<15>(h)) * W(0x85EBCA77u);
  return h ^ shift_right<16>(h);
}

// Two rounds: each half changes once.
template <class W>
LOCKSTEP_HD void feistel_rounds(const uint32_t* keys, W left_mask, W right_mask, W& left,
                                W& right) {
  left = left ^ (feistel_mix(right, keys[0]) & left_mask);
  right = right ^ (feistel_mix(left, keys[1]) & right_mask);
}
