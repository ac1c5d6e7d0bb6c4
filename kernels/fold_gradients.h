// The sum of several workers' gradients in the order of their ranks.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "lockstep/parameters.h"

namespace lockstep {

inline constexpr int kMostFolded = 1024;  // workers

// Which workers have samples of a batch; the others' zeros are left out, as serial leaves out empty
// parts: adding them would turn -0 into 0.
struct PresentRanks {
  std::uint64_t words[kMostFolded / 64] = {};

  void add(int rank) { words[rank / 64] |= std::uint64_t{1} << (rank % 64); }
};

// This worker's gradients and what came of the others: rank r's at received + stride * (r - (r >
// rank)).
struct FoldSources {
  const float* received = nullptr;
  std::size_t stride = 0;
  int rank = 0;
  int world_size = 1;
  PresentRanks present;
};

// own[i] = ((g0[i] + g1[i]) + g2[i]) + ... over the ranks present, i < n; 0 where none is.
// REQUIRES: n a multiple of 4, all aligned to 16 bytes.
void fold_gradients(float* own, std::size_t n, const FoldSources& sources, cudaStream_t stream);

}  // namespace lockstep
