// How a convolution's products are cut into blocks, and the launch of one. For the launchers of
// convolutions.
#pragma once

#include <algorithm>
#include <climits>

#include "kernels/conv_operands.h"
#include "kernels/gemm.h"

namespace lockstep {

// Sides of the tiles of a convolution's products.
enum class ConvTile {
  small,   // 32 x 32: few outputs
  narrow,  // 128 x 32: many pixels, up to 32 channels
  large,   // 128 x 64
  square,  // 64 x 64: the weight's gradient
};

struct ConvTileSize {
  int rows, columns;
};
constexpr ConvTileSize size_of(ConvTile tile) {
  switch (tile) {
    case ConvTile::small: return {32, 32};
    case ConvTile::narrow: return {128, 32};
    case ConvTile::large: return {128, 64};
    case ConvTile::square: return {64, 64};
  }
  return {};
}

constexpr long long tiles_of(long long count, int side) {
  return (count + side - 1) / side;
}

// For a product of `rows` pixels and `columns` channels, whose depth is never split: pixels are
// many. Tiles of 128 rows where they occupy three quarters of the multiprocessors.
inline ConvTile choose_tile(long long rows, int columns, int multiprocessors) {
  const ConvTile tall = columns <= 32 ? ConvTile::narrow : ConvTile::large;
  const auto [tile_rows, tile_columns] = size_of(tall);
  const long long tiles = tiles_of(rows, tile_rows) * tiles_of(columns, tile_columns);
  return rows > 32 && 4 * tiles >= 3LL * multiprocessors ? tall : ConvTile::small;
}

// The weight's gradient, [outputs, depth] of products over all outputs' pixels: a small result of
// a great depth, which is split so that every multiprocessor has a few blocks. The partial sums are
// added by a kernel of its own in the order of the splits. The same for the same arguments: with it
// the order of every sum is fixed.
struct ConvWeightPlan {
  ConvTile tile = ConvTile::small;
  int splits = 1;
  int depth_a_split = 0;
};
inline ConvWeightPlan plan_conv_weight(int outputs, int kernel_depth, int pixels,
                                       int multiprocessors) {
  constexpr int kSmallestSplit = 256, kDepthUnit = 32, kMostSplits = 512;
  constexpr int kBlocksAMultiprocessor = 3;
  ConvWeightPlan plan;
  plan.tile = outputs > 32 && kernel_depth > 32 ? ConvTile::square : ConvTile::small;
  const auto [rows, columns] = size_of(plan.tile);
  const long long tiles = tiles_of(outputs, rows) * tiles_of(kernel_depth, columns);
  const long long wanted = static_cast<long long>(kBlocksAMultiprocessor) * multiprocessors / tiles;
  const int most = std::clamp(pixels / kSmallestSplit, 1, kMostSplits);
  plan.splits = static_cast<int>(std::clamp<long long>(wanted, 1, most));
  const int share = (pixels + plan.splits - 1) / plan.splits;
  plan.depth_a_split = static_cast<int>(tiles_of(share, kDepthUnit)) * kDepthUnit;
  // Rounding up may leave the last ones without any depth.
  if (pixels > 0) plan.splits = static_cast<int>(tiles_of(pixels, plan.depth_a_split));
  return plan;
}

// Throws Error (device) for a batch whose images have more values than kernels count.
inline void require_countable(const ConvShape& shape, int batch, const char* what) {
  const long long input = 1LL * shape.height * shape.width * std::max(shape.input_pitch, 4);
  const long long output = 1LL * shape.output_height * shape.output_width * shape.output_pitch();
  if (std::max(input, output) <= INT_MAX / std::max(batch, 1)) return;
  throw Error(ErrorKind::device,
              std::string(what) + ": a batch of " + std::to_string(batch) +
                  " images has more than 2^31 - 1 values in a layer",
              "use a smaller batch, or --accumulate");
}

// Calls `call` with the Arithmetic for one of the tiles given, as its template argument.
template <Major major_a, Major major_b, ConvTile... tiles, class Call>
void with_conv_tile(ConvTile tile, Precision precision, const Call& call) {
  with_arithmetic(precision, [&]<template <class, Major, Major> class Arithmetic, int depth>() {
    const auto run = [&]<ConvTile known>() {
      constexpr ConvTileSize size = size_of(known);
      constexpr int kDepth = known == ConvTile::small ? 32 : depth;
      using Shape = device::TileShape<size.rows, size.columns, kDepth>;
      if (tile == known) call.template operator()<Arithmetic<Shape, major_a, major_b>>();
    };
    (run.template operator()<tiles>(), ...);
  });
}

// `rows` tiles of rows.
template <class Arithmetic, class Epilogue, class A, class B>
void launch_conv(long long rows, const A& a, const B& b, int splits, int depth_a_split,
                 const device::Partials& partials, const Epilogue& epilogue, cudaStream_t stream) {
  using Shape = typename Arithmetic::Shape;
  launch({.grid = dim3(static_cast<unsigned>(rows),
                       static_cast<unsigned>(tiles_of(b.rows, Shape::kColumns)),
                       static_cast<unsigned>(splits)),
          .block = device::kGemmThreads,
          .stream = stream,
          .shared_bytes = device::GemmBlock<Arithmetic, Epilogue, A, B>::kSharedBytes},
         device::gemm<Arithmetic, Epilogue, A, B>, a, b, depth_a_split, partials, epilogue);
}

}  // namespace lockstep
