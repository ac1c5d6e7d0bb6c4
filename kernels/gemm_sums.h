// Sums on their way between blocks and between threads, in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm_tile.h"
#include "lockstep/host_device.h"

namespace lockstep::device {

// Partial sums: [splits, rows, pitch] of C, then [splits, rows] of row sums.
struct Partials {
  float* data = nullptr;  // aligned to 16 bytes; null: the depth is not split
  int splits = 1;
  int rows = 0;
  int columns = 0;
  unsigned* tickets = nullptr;  // one a tile of C

  LOCKSTEP_HD int pitch() const { return (columns + 3) / 4 * 4; }
  LOCKSTEP_HD std::size_t size() const {
    return static_cast<std::size_t>(splits) * static_cast<std::size_t>(rows) *
           static_cast<std::size_t>(pitch() + 1);
  }
  __device__ float4* four(int split, int row, int column) const {
    const std::int64_t line = static_cast<std::int64_t>(split) * rows + row;
    return reinterpret_cast<float4*>(data + line * pitch() + column);
  }
  // All splits' in order.
  __device__ float4 sum_four(int row, int column) const {
    float4 sum{};
#pragma unroll 4
    for (int split = 0; split < splits; ++split) {
      const float4 v = *four(split, row, column);
      sum.x += v.x;
      sum.y += v.y;
      sum.z += v.z;
      sum.w += v.w;
    }
    return sum;
  }
  __device__ float* row_sum(int split, int row) const {
    const std::int64_t lines = static_cast<std::int64_t>(splits) * rows;
    return data + lines * pitch() + static_cast<std::int64_t>(split) * rows + row;
  }
  __device__ float sum_row_sums(int row) const {
    float sum = 0;
#pragma unroll 4
    for (int split = 0; split < splits; ++split) sum += *row_sum(split, row);
    return sum;
  }
};

// Sums of A's rows in a tile that lies by rows: each thread adds the chunks that it brought, all of
// the same four rows, and the threads of four rows are then added in order.
template <class Tile>
class RowSums {
 public:
  static_assert(!Tile::kByDepth);

  __device__ void add(float4 v) {
    sums_[0] += v.x;
    sums_[1] += v.y;
    sums_[2] += v.z;
    sums_[3] += v.w;
  }
  __device__ void add_chunks(const float4 (&chunks)[Tile::kChunks]) {
#pragma unroll
    for (const float4& chunk : chunks) add(chunk);
  }
  __device__ void add_tile(const float* tile) {
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      add(*reinterpret_cast<const float4*>(tile + Tile::place(i)));
    }
  }
  // `scratch` of kScratch floats. The caller has a barrier before and after.
  static constexpr int kThreadsARow = kGemmThreads / Tile::kChunksInner;
  static constexpr int kScratch = kThreadsARow * Tile::kRows;
  __device__ void write(float* scratch) const {
    const int line = static_cast<int>(threadIdx.x) / Tile::kChunksInner;
    *reinterpret_cast<float4*>(scratch + line * Tile::kRows + Tile::inner()) =
        make_float4(sums_[0], sums_[1], sums_[2], sums_[3]);
  }
  __device__ static float total(const float* scratch, int row) {
    float sum = 0;
#pragma unroll
    for (int line = 0; line < kThreadsARow; ++line) sum += scratch[line * Tile::kRows + row];
    return sum;
  }

 private:
  float sums_[4] = {};
};

struct NoRowSums {
  static constexpr int kScratch = 0;
};

}  // namespace lockstep::device
