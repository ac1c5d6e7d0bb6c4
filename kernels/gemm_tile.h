// Operands of a product and their tiles in shared memory.
//
// A product is C[m, n] = sum over k of A[m, k] B[n, k]: m and n are the operands' rows, k the
// depth. An operand lies in memory with consecutive depths next to each other (x and w in x w^T) or
// with consecutive rows next to each other (dy and x in dy^T x); its tile in shared memory lies the
// same way, so that 16 bytes of the one are 16 bytes of the other.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device.h"
#include "kernels/device_rows.h"

namespace lockstep {

enum class Major { depth, rows };  // what is consecutive in memory

// The element at data[outer * stride + inner], where `inner` counts along the operand's Major.
struct Operand {
  const float* data = nullptr;
  std::int64_t stride = 0;  // floats
  int rows = 0;
  int depth = 0;
  bool aligned = false;  // data and each row of it begin at multiples of 16 bytes
};

inline Operand make_operand(const float* data, std::int64_t stride, int rows, int depth) {
  return {data, stride, rows, depth, aligned_rows(data, stride)};
}

namespace device {

inline constexpr int kGemmThreads = 128;

// Tile of C of a block, and how deep the operands' tiles are.
template <int Rows, int Columns, int Depth>
struct TileShape {
  static constexpr int kRows = Rows;
  static constexpr int kColumns = Columns;
  static constexpr int kDepth = Depth;
  static constexpr int kPitch = Columns + 4;  // of C's tile in shared memory
};

// What of an operand a tile holds: rows from `row`, depths [depth, depth_end). The rest is zero.
struct Window {
  int row = 0;
  int depth = 0;
  int depth_end = 0;
};

// Rows x Depth elements, in chunks of four along Major. Chunk i of a thread is chunk
// i * kGemmThreads + threadIdx.x of the tile.
template <class T, Major major, int Rows, int Depth>
struct Tile {
  static constexpr bool kByDepth = major == Major::depth;
  static constexpr int kRows = Rows;
  static constexpr int kDepth = Depth;
  static constexpr int kOuter = kByDepth ? Rows : Depth;
  static constexpr int kInner = kByDepth ? Depth : Rows;
  // Chosen so that a warp's fragments come from different banks: an odd number of 16-byte units for
  // reads of 16 bytes down the rows (ldmatrix, float4); for TF32 fragments g * pitch + t and
  // t * pitch + g (g < 8, t < 4) differ modulo 32 as well.
  static constexpr int kPitch = kInner + (sizeof(T) == 4 && kByDepth ? 4 : 8);
  static constexpr int kSize = kOuter * kPitch;
  static constexpr int kChunksInner = kInner / 4;
  static constexpr int kChunks = kOuter * kChunksInner / kGemmThreads;  // of a thread
  static_assert(kOuter * kChunksInner % kGemmThreads == 0);
  // The chunks of one thread are of the same four: RowSums relies on it.
  static_assert(kGemmThreads % kChunksInner == 0);

  __device__ static constexpr int at(int row, int depth) {
    return kByDepth ? row * kPitch + depth : depth * kPitch + row;
  }
  __device__ static int outer(int i) {
    return (i * kGemmThreads + static_cast<int>(threadIdx.x)) / kChunksInner;
  }
  __device__ static int inner() { return static_cast<int>(threadIdx.x) % kChunksInner * 4; }
  __device__ static int place(int i) { return outer(i) * kPitch + inner(); }

  // Where chunk i of the thread comes from, and how many of its values exist (may be < 0 or > 4).
  struct Source {
    const float* data;
    int count;
  };
  __device__ static Source source(const Operand& from, const Window& window, int i) {
    const int row = window.row + (kByDepth ? outer(i) : inner());
    const int depth = window.depth + (kByDepth ? inner() : outer(i));
    const std::int64_t index = kByDepth ? row * from.stride + depth : depth * from.stride + row;
    const int rows = from.rows - row;
    const int depths = window.depth_end - depth;
    const int count = kByDepth ? (rows > 0 ? depths : 0) : (depths > 0 ? rows : 0);
    return {from.data + index, count};
  }
};

// Four values, those that do not exist as zeros.
__device__ __forceinline__ float4 load_four(const float* from, int count, bool aligned) {
  if (aligned && count >= 4) return *reinterpret_cast<const float4*>(from);
  float4 values{};
  if (count > 0) values.x = from[0];
  if (count > 1) values.y = from[1];
  if (count > 2) values.z = from[2];
  if (count > 3) values.w = from[3];
  return values;
}

// The first `count` of `values` to `to`, at once where `aligned` allows.
__device__ __forceinline__ void store_four(float* to, const float (&values)[4], int count,
                                           bool aligned) {
  if (aligned && count == 4) {
    *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < count) to[i] = values[i];
  }
}

// Brings the calling thread's chunks of a tile of float32; complete after wait_copies() and a
// barrier.
template <class Tile>
__device__ __forceinline__ void copy_tile(const Operand& from, const Window& window, float* tile) {
#pragma unroll
  for (int i = 0; i < Tile::kChunks; ++i) {
    const auto [data, count] = Tile::source(from, window, i);
    float* to = tile + Tile::place(i);
    if (from.aligned && count >= 4) {
      copy_async_16(to, data);
    } else {
      *reinterpret_cast<float4*>(to) = load_four(data, count, false);
    }
  }
}

// Brings the calling thread's chunks of a tile of From, whose rows begin at `row`, by way of
// registers. For operands that are not matrices in memory, a specialisation says how.
template <class From, class Tile>
class TileLoader;

template <class Tile>
class TileLoader<Operand, Tile> {
 public:
  __device__ TileLoader(const Operand& from, int row) : from_(from), row_(row) {}

  // Depths [depth, depth_end) of the tile that begins there; the rest is zero.
  __device__ void load(int depth, int depth_end, float4 (&chunks)[Tile::kChunks]) const {
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      const auto [data, count] = Tile::source(from_, {row_, depth, depth_end}, i);
      chunks[i] = load_four(data, count, from_.aligned);
    }
  }

 private:
  const Operand& from_;
  int row_;
};

// The calling thread's chunks of a tile on their way to shared memory.
template <class Tile>
struct TileInRegisters {
  float4 chunks[Tile::kChunks];

  __device__ void store(float* tile) const {
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      *reinterpret_cast<float4*>(tile + Tile::place(i)) = chunks[i];
    }
  }

  __device__ void store(__nv_bfloat16* tile) const {
    struct alignas(8) Four {
      __nv_bfloat162 low, high;
    };
#pragma unroll
    for (int i = 0; i < Tile::kChunks; ++i) {
      const float4& c = chunks[i];
      *reinterpret_cast<Four*>(tile + Tile::place(i)) = {__floats2bfloat162_rn(c.x, c.y),
                                                         __floats2bfloat162_rn(c.z, c.w)};
    }
  }
};

}  // namespace device
}  // namespace lockstep
