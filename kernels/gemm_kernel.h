// The kernel behind every product.
//
// A block computes a tile of C. Tiles of the operands come by cp.async, two ahead of the one that
// is multiplied; those that are converted, or that are no matrices in memory, come by way of
// registers, one ahead. One barrier a tile.
// Sums go through shared memory, so that whatever the arithmetic's layout the end is the same: four
// consecutive columns a thread, handed to the product's epilogue. Where the depth is split over
// blocks each stores partial sums, and the last block of a tile adds all of them from memory, in
// the order of the splits, its own among them. Nothing depends on the order of blocks or threads:
// the same bits run after run.
//
// Blocks of 128 threads, a warp for each scheduler of a multiprocessor. Small tiles take 47-86
// registers and 28-31 KB of shared memory (bf16: 10): one block a multiprocessor is enough to be
// useful, five fit. Large tiles take up to 168 registers (bf16, whose next tile waits in them:
// 203) and 35-46 KB: three blocks a multiprocessor (bf16: two), one on compute capability 7.5.
// Where operands are gathered by registers float32 takes up to 254: two blocks.
//
// An Epilogue is a value with
//   kRowSums                            whether A's rows are summed over the depth too
//   operator()(row, column, values, n)  takes C[row, column .. column + n), n <= 4, column % 4 == 0
//   row_sum(row, sum)                   where kRowSums
// and where the depth is never split it may instead take the whole tile:
//   kTakesTile = true, tile<Shape>(c, tile_row, column)   c[row * Shape::kPitch + column]
// Where it says kSplitsSummedApart another kernel adds the partial sums up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "kernels/gemm_sums.h"
#include "kernels/gemm_tile.h"
#include "kernels/last_block.h"

namespace lockstep::device {

// Which tile of C, and which split of the depth, a block computes.
struct TileIndex {
  int row = 0;
  int column = 0;
  int split = 0;
  int number = 0;  // of the tile
};

template <class Epilogue>
concept TakesTile = requires {
  requires Epilogue::kTakesTile;
};
template <class Epilogue>
concept SplitsSummedApart = requires {
  requires Epilogue::kSplitsSummedApart;
};

template <class Arithmetic, class Epilogue, class A = Operand, class B = Operand>
class GemmBlock {
  using Shape = typename Arithmetic::Shape;
  using Element = typename Arithmetic::Element;
  using TileA = typename Arithmetic::TileA;
  using TileB = typename Arithmetic::TileB;

  using Sums = std::conditional_t<Epilogue::kRowSums, RowSums<TileA>, NoRowSums>;
  static constexpr bool kByRegisters =
      !std::is_same_v<Element, float> || !std::is_same_v<A, Operand> || !std::is_same_v<B, Operand>;
  static constexpr int kStages = kByRegisters ? 2 : 3;
  static constexpr std::size_t kStage = TileA::kSize + TileB::kSize;  // elements
  static constexpr std::size_t kResult = Shape::kRows * Shape::kPitch;

 public:
  static constexpr std::size_t kSharedBytes =
      std::max(kStages * kStage * sizeof(Element), (kResult + Sums::kScratch) * sizeof(float));

  __device__ GemmBlock(const A& a, const B& b, const TileIndex& tile, int depth_a_split)
      : a_(a),
        b_(b),
        tile_(tile),
        row_(tile.row * Shape::kRows),
        column_(tile.column * Shape::kColumns),
        begin_(tile.split * depth_a_split),
        end_(min(begin_ + depth_a_split, a.depth)) {}

  __device__ void multiply() {
    const int tiles = (end_ - begin_ + Shape::kDepth - 1) / Shape::kDepth;
    if constexpr (kByRegisters) {
      multiply_by_registers(tiles);
    } else {
      multiply_copied(tiles);
    }
  }

  // Where the block has the tile's whole depth.
  __device__ void finish(const Epilogue& epilogue) {
    const float* c = write_sums();
    if constexpr (TakesTile<Epilogue>) {
      epilogue.template tile<Shape>(c, tile_.row, column_);
    } else {
      for_each_four([&](int row, int column, int place) {
        end_four(epilogue, row, column, *reinterpret_cast<const float4*>(c + place));
      });
    }
    if constexpr (Epilogue::kRowSums) {
      for_row_sum([&](int row) { epilogue.row_sum(row_ + row, Sums::total(c + kResult, row)); });
    }
  }

  // Where it has a split of it.
  __device__ void store_split(const Partials& partials) {
    const float* c = write_sums();
    for_each_four([&](int row, int column, int place) {
      *partials.four(tile_.split, row, column) = *reinterpret_cast<const float4*>(c + place);
    });
    if constexpr (Epilogue::kRowSums) {
      for_row_sum([&](int row) {
        *partials.row_sum(tile_.split, row_ + row) = Sums::total(c + kResult, row);
      });
    }
  }

  // The same, and the last block of the tile adds them all.
  __device__ void finish_split(const Partials& partials, const Epilogue& epilogue) {
    store_split(partials);
    __syncthreads();  // the block's sums are in memory
    const bool last = threadIdx.x == 0 && take_last_ticket(partials.tickets + tile_.number,
                                                           static_cast<unsigned>(partials.splits));
    if (!__syncthreads_or(last ? 1 : 0)) return;
    for_each_four([&](int row, int column, int) {
      end_four(epilogue, row, column, partials.sum_four(row, column));
    });
    if constexpr (Epilogue::kRowSums) {
      for_row_sum(
          [&](int row) { epilogue.row_sum(row_ + row, partials.sum_row_sums(row_ + row)); });
    }
  }

 private:
  // The block's sums in shared memory: C's tile, then what RowSums writes.
  __device__ const float* write_sums() {
    auto* c = shared<float>(0, kResult + Sums::kScratch);
    __syncthreads();  // the stages are free
    arithmetic_.write(c);
    if constexpr (Epilogue::kRowSums) row_sums_.write(c + kResult);
    __syncthreads();
    return c;
  }

  // Calls with row and column in C of each four values that the thread ends, and their place in the
  // tile.
  template <class Call>
  __device__ void for_each_four(const Call& call) const {
    constexpr int kChunksARow = Shape::kColumns / 4;
    for (int i = static_cast<int>(threadIdx.x); i < Shape::kRows * kChunksARow; i += kGemmThreads) {
      const int row = i / kChunksARow;
      const int column = i % kChunksARow * 4;
      if (row_ + row >= a_.rows || column_ + column >= b_.rows) continue;
      call(row_ + row, column_ + column, row * Shape::kPitch + column);
    }
  }
  __device__ void end_four(const Epilogue& epilogue, int row, int column, const float4& v) const {
    float values[4] = {v.x, v.y, v.z, v.w};
    epilogue(row, column, values, min(b_.rows - column, 4));
  }
  // Calls with the row in the tile whose sum the thread ends, if any.
  template <class Call>
  __device__ void for_row_sum(const Call& call) const {
    const int row = static_cast<int>(threadIdx.x);
    if (tile_.column == 0 && row < Shape::kRows && row_ + row < a_.rows) call(row);
  }

  __device__ Element* stage(int tile) const {
    return shared<Element>(tile % kStages * kStage * sizeof(Element), kStage);
  }

  __device__ void multiply_stage(int tile) {
    const Element* a = stage(tile);
    arithmetic_.multiply(a, a + TileA::kSize);
  }

  __device__ void multiply_copied(int tiles) {
    const auto fetch = [&](int tile) {
      if (tile < tiles) {
        const int depth = begin_ + tile * Shape::kDepth;
        Element* to = stage(tile);
        copy_tile<TileA>(a_, {row_, depth, end_}, to);
        copy_tile<TileB>(b_, {column_, depth, end_}, to + TileA::kSize);
      }
      commit_copies();
    };
    for (int tile = 0; tile < kStages - 1; ++tile) fetch(tile);
    for (int tile = 0; tile < tiles; ++tile) {
      wait_copies<kStages - 2>();
      __syncthreads();  // the tile is there, and its predecessor's stage is free
      fetch(tile + kStages - 1);
      multiply_stage(tile);
      if constexpr (Epilogue::kRowSums) {
        if (tile_.column == 0) row_sums_.add_tile(stage(tile));
      }
    }
    wait_copies<0>();
  }

  __device__ void multiply_by_registers(int tiles) {
    TileLoader<A, TileA> from_a(a_, row_);
    TileLoader<B, TileB> from_b(b_, column_);
    TileInRegisters<TileA> a;
    TileInRegisters<TileB> b;
    const auto load = [&](int tile) {
      const int depth = begin_ + tile * Shape::kDepth;
      from_a.load(depth, end_, a.chunks);
      from_b.load(depth, end_, b.chunks);
    };
    const auto store = [&](int tile) {
      Element* to = stage(tile);
      a.store(to);
      b.store(to + TileA::kSize);
      if constexpr (Epilogue::kRowSums) {
        if (tile_.column == 0) row_sums_.add_chunks(a.chunks);
      }
    };
    if (tiles > 0) {
      load(0);
      store(0);
    }
    for (int tile = 0; tile < tiles; ++tile) {
      __syncthreads();  // the tile is there, and the other stage is free
      const bool more = tile + 1 < tiles;
      if (more) load(tile + 1);
      multiply_stage(tile);
      if (more) store(tile + 1);
    }
  }

  const A& a_;
  const B& b_;
  TileIndex tile_;
  int row_, column_, begin_, end_;
  Arithmetic arithmetic_;
  Sums row_sums_;
};

// Blocks that share a multiprocessor: two where the next tile waits in registers.
template <class Arithmetic, class A, class B>
inline constexpr int kGemmBlocks =
    std::is_same_v<A, Operand>&& std::is_same_v<B, Operand> ? Arithmetic::kBlocks : 2;

template <class Arithmetic, class Epilogue, class A = Operand, class B = Operand>
__global__ void __launch_bounds__(kGemmThreads, kGemmBlocks<Arithmetic, A, B>)
    gemm(A a, B b, int depth_a_split, Partials partials, Epilogue epilogue) {
  const TileIndex tile{.row = static_cast<int>(blockIdx.x),
                       .column = static_cast<int>(blockIdx.y),
                       .split = static_cast<int>(blockIdx.z),
                       .number = static_cast<int>(blockIdx.y * gridDim.x + blockIdx.x)};
  GemmBlock<Arithmetic, Epilogue, A, B> block(a, b, tile, depth_a_split);
  block.multiply();
  if constexpr (TakesTile<Epilogue>) {
    block.finish(epilogue);
  } else if (!partials.data) {
    block.finish(epilogue);
  } else if constexpr (SplitsSummedApart<Epilogue>) {
    block.store_split(partials);
  } else {
    block.finish_split(partials, epilogue);
  }
}

}  // namespace lockstep::device
