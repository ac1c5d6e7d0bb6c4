// A block's product of two tiles in shared memory on the float32 units.
#pragma once

#include "kernels/gemm_tile.h"

namespace lockstep::device {

// The rows of a tile that one of Threads threads takes, Count of them, four depths at a time:
// 16-byte reads along Major. By depth a thread's rows lie Threads apart, so that neighbours read
// neighbouring rows, whose pitch is odd in units of 16 bytes: no bank conflicts.
template <class Tile, int Threads>
struct ThreadRows {
  static constexpr int kCount = Tile::kRows / Threads;
  static constexpr int kWidth = kCount < 4 ? kCount : 4;  // rows read at once where rows are Major
  static_assert(Tile::kByDepth || kWidth == 2 || kWidth == 4);

  __device__ static constexpr int row(int thread, int i) {
    return Tile::kByDepth ? thread + Threads * i
                          : kWidth * thread + i % kWidth + kWidth * Threads * (i / kWidth);
  }

  // values[i][d]: the thread's row i at depth + d.
  __device__ static void load(const float* tile, int thread, int depth,
                              float (&values)[kCount][4]) {
    if constexpr (Tile::kByDepth) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float4 v = *reinterpret_cast<const float4*>(tile + Tile::at(row(thread, i), depth));
        values[i][0] = v.x;
        values[i][1] = v.y;
        values[i][2] = v.z;
        values[i][3] = v.w;
      }
    } else {
#pragma unroll
      for (int d = 0; d < 4; ++d) {
#pragma unroll
        for (int i = 0; i < kCount; i += kWidth) {
          const float* from = tile + Tile::at(row(thread, i), depth + d);
          if constexpr (kWidth == 4) {
            const float4 v = *reinterpret_cast<const float4*>(from);
            values[i][d] = v.x;
            values[i + 1][d] = v.y;
            values[i + 2][d] = v.z;
            values[i + 3][d] = v.w;
          } else {
            const float2 v = *reinterpret_cast<const float2*>(from);
            values[i][d] = v.x;
            values[i + 1][d] = v.y;
          }
        }
      }
    }
  }
};

// 16 x 8 threads, each with (rows / 16) x (columns / 8) sums: 2 x 4 of a tile of 32 x 32, 8 x 8 of
// one of 128 x 64, where 16 reads of 16 bytes feed 256 multiply-adds. Each sum is one chain over
// ascending depths.
template <class Shape_, Major major_a, Major major_b>
class Ffma {
 public:
  using Shape = Shape_;
  using Element = float;
  static constexpr int kBlocks = 3;  // on a multiprocessor: at most 168 registers
  using TileA = Tile<float, major_a, Shape::kRows, Shape::kDepth>;
  using TileB = Tile<float, major_b, Shape::kColumns, Shape::kDepth>;

  __device__ void multiply(const float* a, const float* b) {
#pragma unroll
    for (int depth = 0; depth < Shape::kDepth; depth += 4) {
      float left[Rows::kCount][4];
      float right[Columns::kCount][4];
      Rows::load(a, y(), depth, left);
      Columns::load(b, x(), depth, right);
#pragma unroll
      for (int d = 0; d < 4; ++d) {
#pragma unroll
        for (int i = 0; i < Rows::kCount; ++i) {
#pragma unroll
          for (int j = 0; j < Columns::kCount; ++j) {
            sums_[i][j] = fmaf(left[i][d], right[j][d], sums_[i][j]);
          }
        }
      }
    }
  }

  __device__ void write(float* c) const {
#pragma unroll
    for (int i = 0; i < Rows::kCount; ++i) {
#pragma unroll
      for (int j = 0; j < Columns::kCount; ++j) {
        c[Rows::row(y(), i) * Shape::kPitch + Columns::row(x(), j)] = sums_[i][j];
      }
    }
  }

 private:
  static constexpr int kThreadsX = 8;
  static constexpr int kThreadsY = kGemmThreads / kThreadsX;
  using Rows = ThreadRows<TileA, kThreadsY>;
  using Columns = ThreadRows<TileB, kThreadsX>;

  __device__ static int x() {
    return static_cast<int>(threadIdx.x) % kThreadsX;
  }
  __device__ static int y() {
    return static_cast<int>(threadIdx.x) / kThreadsX;
  }

  float sums_[Rows::kCount][Columns::kCount] = {};
};

}  // namespace lockstep::device
