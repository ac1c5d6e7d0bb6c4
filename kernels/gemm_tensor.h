// A block's product of two tiles in shared memory on tensor cores: TF32 and bfloat16 operands,
// float32 sums. Compute capability 8.0 and later.
#pragma once

#include "kernels/gemm_tile.h"

namespace lockstep::device {

// Four warps, two by two, each with a quarter of the tile of C: fragments of 16 x 8 as mma has
// them, one by two of a tile of 32 x 32, four by four of one of 128 x 64.
template <class Shape_>
class WarpTile {
 public:
  using Shape = Shape_;
  static constexpr int kRows = Shape::kRows / 2 / 16;  // fragments
  static constexpr int kColumns = Shape::kColumns / 2 / 8;
  static_assert(kGemmThreads == 128 && kRows > 0 && kColumns % 2 == 0);

  __device__ static int lane() { return static_cast<int>(threadIdx.x % kWarpSize); }
  // Where fragment i begins in the block's tile.
  __device__ static int row(int i) {
    return static_cast<int>(threadIdx.x / kWarpSize / 2) * (Shape::kRows / 2) + 16 * i;
  }
  __device__ static int column(int j) {
    return static_cast<int>(threadIdx.x / kWarpSize % 2) * (Shape::kColumns / 2) + 8 * j;
  }

  __device__ void write(float* c) const {
    const int g = lane() / 4;
    const int t = lane() % 4;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        float* to = c + (row(i) + g) * Shape::kPitch + column(j) + 2 * t;
        const float(&sum)[4] = sums_[i][j];
        *reinterpret_cast<float2*>(to) = make_float2(sum[0], sum[1]);
        *reinterpret_cast<float2*>(to + 8 * Shape::kPitch) = make_float2(sum[2], sum[3]);
      }
    }
  }

 protected:
  float sums_[kRows][kColumns][4] = {};
};

// Operands lie in shared memory as float32, so that cp.async brings them, and are rounded on the
// way into registers.
template <class Shape, Major major_a, Major major_b>
class Tf32 : public WarpTile<Shape> {
 public:
  using Element = float;
  static constexpr int kBlocks = 3;  // on a multiprocessor: at most 168 registers
  using TileA = Tile<float, major_a, Shape::kRows, Shape::kDepth>;
  using TileB = Tile<float, major_b, Shape::kColumns, Shape::kDepth>;

  __device__ void multiply(const float* tile_a, const float* tile_b) {
    const int g = Warp::lane() / 4;
    const int t = Warp::lane() % 4;
#pragma unroll
    for (int depth = 0; depth < Shape::kDepth; depth += 8) {
      std::uint32_t a[Warp::kRows][4];
      std::uint32_t b[Warp::kColumns][2];
#pragma unroll
      for (int i = 0; i < Warp::kRows; ++i) {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          const int row = Warp::row(i) + g + 8 * (r % 2);
          a[i][r] = to_tf32(tile_a[TileA::at(row, depth + t + 4 * (r / 2))]);
        }
      }
#pragma unroll
      for (int j = 0; j < Warp::kColumns; ++j) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          b[j][r] = to_tf32(tile_b[TileB::at(Warp::column(j) + g, depth + t + 4 * r)]);
        }
      }
#pragma unroll
      for (int i = 0; i < Warp::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Warp::kColumns; ++j) {
          float(&sum)[4] = this->sums_[i][j];
          mma_tf32(sum, a[i], b[j], sum);
        }
      }
    }
  }

 private:
  using Warp = WarpTile<Shape>;
};

// Operands lie in shared memory as bfloat16, half the traffic, and come by ldmatrix.
template <class Shape, Major major_a, Major major_b>
class Bf16 : public WarpTile<Shape> {
 public:
  using Element = __nv_bfloat16;
  static constexpr int kBlocks = 2;  // on a multiprocessor: at most 255 registers
  using TileA = Tile<Element, major_a, Shape::kRows, Shape::kDepth>;
  using TileB = Tile<Element, major_b, Shape::kColumns, Shape::kDepth>;

  __device__ void multiply(const Element* tile_a, const Element* tile_b) {
    // ldmatrix: lane 8 m + r names row r of matrix m, a row being what is consecutive in memory.
    const int matrix = Warp::lane() / 8;
    const int r = Warp::lane() % 8;
#pragma unroll
    for (int depth = 0; depth < Shape::kDepth; depth += 16) {
      std::uint32_t a[Warp::kRows][4];
      std::uint32_t b[Warp::kColumns][2];
#pragma unroll
      for (int i = 0; i < Warp::kRows; ++i) {
        // Matrices: rows 0-7, rows 8-15, and the same 8 depths further.
        const int row = Warp::row(i) + 8 * (matrix % 2);
        load<TileA>(a[i], tile_a, row, depth + 8 * (matrix / 2), r);
      }
#pragma unroll
      for (int j = 0; j < Warp::kColumns; j += 2) {
        // Matrices: 8 columns at two depths, and the next 8 columns.
        std::uint32_t two[4];
        load<TileB>(two, tile_b, Warp::column(j) + 8 * (matrix / 2), depth + 8 * (matrix % 2), r);
        b[j][0] = two[0];
        b[j][1] = two[1];
        b[j + 1][0] = two[2];
        b[j + 1][1] = two[3];
      }
#pragma unroll
      for (int i = 0; i < Warp::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Warp::kColumns; ++j) {
          float(&sum)[4] = this->sums_[i][j];
          mma_bf16(sum, a[i], b[j], sum);
        }
      }
    }
  }

 private:
  using Warp = WarpTile<Shape>;

  // Four matrices of 8 rows and 8 depths; (row, depth) begins the one that the lane has a part of.
  template <class Tile>
  __device__ static void load(std::uint32_t (&to)[4], const Element* tile, int row, int depth,
                              int r) {
    if constexpr (Tile::kByDepth) {
      load_matrices(to, tile + Tile::at(row + r, depth));
    } else {
      load_matrices_transposed(to, tile + Tile::at(row, depth + r));
    }
  }
};

}  // namespace lockstep::device
