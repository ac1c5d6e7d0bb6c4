// The order of samples: a pure function of (seed, epoch, global position), computed where it is
// needed and never stored, so that every mode and every world size sees the same global batches.
//
// A keyed permutation of [0, n): an alternating Feistel network over the smallest power of two that
// is at least n, with cycle walking (Black, Rogaway, "Ciphers with arbitrary finite domains",
// CT-RSA 2002), keyed by Philox. Immutable: safe to share between threads.
#pragma once

#include <cstdint>
#include <span>

#include "lockstep/permutation.h"

namespace lockstep {

enum class Shuffle { epoch, none };

// Half-open range of positions or samples.
struct IndexRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const IndexRange&) const = default;
};

// Rank r's share of `range`: [r B / W, (r + 1) B / W) of its B positions; may be empty.
IndexRange share_of(IndexRange range, int rank, int world_size);

class Sampler {
 public:
  // n >= 1 samples. With Shuffle::none position p is sample p in every epoch.
  Sampler(int64_t n, uint64_t seed, Shuffle shuffle);

  int64_t size() const { return n_; }
  bool shuffled() const { return shuffle_ == Shuffle::epoch; }
  uint64_t seed() const { return seed_; }
  const PermutationDomain& domain() const { return domain_; }

  // Global batches an epoch: ceil(n / global_batch); the last one may be short.
  int64_t batches(int64_t global_batch) const { return (n_ + global_batch - 1) / global_batch; }

  // Positions of global batch k of an epoch.
  IndexRange batch(int64_t k, int64_t global_batch) const;

  // The sample at each of the positions [first, first + out.size()) of `epoch` (0-based).
  void fill(uint32_t epoch, int64_t first, std::span<int64_t> out) const;

  // The sample at one position.
  int64_t at(uint32_t epoch, int64_t position) const;

 private:
  int64_t n_;
  uint64_t seed_;
  Shuffle shuffle_;
  PermutationDomain domain_;
};

}  // namespace lockstep
