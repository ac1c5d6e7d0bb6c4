#include "lockstep/sampler.h"

#include <algorithm>
#include <array>
#include <bit>

#include "data/feistel.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

// Positions that are permuted together: their halves, and what is left to walk, stay in L1.
constexpr size_t kBlock = 16 * kFeistelStride;

// Measured: with 8 rounds (position, sample) counts and first pairs over 100,000 epochs are uniform
// by chi-square for every n above 30, with 16 for every n.
constexpr int kRounds = 8;
constexpr int kSmallDomainBits = 10;

uint32_t low_bits(int bits) {
  return bits == 0 ? 0 : 0xFFFFFFFFu >> (32 - bits);
}

// Permutes the whole block at once; the values that fall outside [0, n), fewer than half of them,
// are walked on in passes of their own until none is left.
void permute_block(const PermutationDomain& domain, const PermutationKeys& keys, int64_t first,
                   std::span<int64_t> out) {
  std::array<uint32_t, kBlock> left, right;
  std::array<uint16_t, kBlock> target;
  const size_t whole = (out.size() + kFeistelStride - 1) / kFeistelStride * kFeistelStride;
  for (size_t i = 0; i < whole; ++i) {
    const uint64_t position = static_cast<uint64_t>(first) + i;
    left[i] = static_cast<uint32_t>(position >> domain.right_bits);
    right[i] = static_cast<uint32_t>(position) & domain.right_mask;
    target[i] = static_cast<uint16_t>(i);
  }
  for (size_t pending = out.size(); pending > 0;) {
    apply_feistel(domain, keys, pending, left, right);
    size_t outside = 0;
    for (size_t i = 0; i < pending; ++i) {
      const uint32_t l = left[i], r = right[i];
      const int64_t value = static_cast<int64_t>(uint64_t{l} << domain.right_bits | r);
      const uint16_t slot = target[i];
      out[slot] = value;
      left[outside] = l;
      right[outside] = r;
      target[outside] = slot;
      outside += value >= domain.size;
    }
    pending = outside;
  }
}

}  // namespace

PermutationDomain permutation_domain(int64_t size) {
  const int bits = std::bit_width(static_cast<uint64_t>(size - 1));
  PermutationDomain domain;
  domain.size = size;
  domain.rounds = bits < kSmallDomainBits ? PermutationDomain::kMaxRounds : kRounds;
  domain.right_bits = (bits + 1) / 2;
  domain.left_mask = low_bits(bits - domain.right_bits);
  domain.right_mask = low_bits(domain.right_bits);
  return domain;
}

IndexRange share_of(IndexRange range, int rank, int world_size) {
  // r B / W without the overflow of r B: B = q W + m.
  const int64_t quotient = range.size() / world_size;
  const int64_t remainder = range.size() % world_size;
  const auto bound = [&](int64_t r) {
    return range.begin + r * quotient + r * remainder / world_size;
  };
  return {bound(rank), bound(rank + 1)};
}

Sampler::Sampler(int64_t n, uint64_t seed, Shuffle shuffle)
    : n_(n), seed_(seed), shuffle_(shuffle) {
  if (n < 1) throw Error(ErrorKind::data, "there are no samples to train on");
  domain_ = permutation_domain(n);
}

IndexRange Sampler::batch(int64_t k, int64_t global_batch) const {
  const int64_t begin = std::min(n_, k * global_batch);
  return {begin, std::min(n_, begin + global_batch)};
}

void Sampler::fill(uint32_t epoch, int64_t first, std::span<int64_t> out) const {
  if (!shuffled()) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = first + static_cast<int64_t>(i);
    return;
  }
  const PermutationKeys keys = permutation_keys(seed_, epoch);
  for (size_t begin = 0; begin < out.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, out.size() - begin);
    permute_block(domain_, keys, first + static_cast<int64_t>(begin), out.subspan(begin, count));
  }
}

int64_t Sampler::at(uint32_t epoch, int64_t position) const {
  int64_t sample = 0;
  fill(epoch, position, std::span(&sample, 1));
  return sample;
}

}  // namespace lockstep
