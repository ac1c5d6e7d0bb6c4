// How a product is cut into blocks. Host only.
#pragma once

namespace lockstep {

struct GemmPlan {
  bool large = false;  // tiles of 128 x 64 of the result, else of 32 x 32
  int splits = 1;      // of the depth
  int depth_a_split = 0;

  // Tiles of the result that a split product has at most: fewer multiprocessors than that.
  static constexpr int kTickets = 256;
  static constexpr int kLargeRows = 128, kLargeColumns = 64, kSmall = 32;
};

// For C [rows, columns] of products over `depth`, on a GPU of so many multiprocessors. The same for
// the same arguments: with it the order of every sum is fixed.
//
// Small tiles are for latency: a tile of 32 x 32 and 32 depths takes a multiprocessor 0.2-0.3 us,
// so that depth 784 is 6 us of one dependent chain; splitting it costs a ticket and the way of the
// sums through L2, 1-2 us. So the depth is split where that leaves multiprocessors busy that would
// be idle and saves 320 depths or more of the chain, into pieces of at least 128. Large tiles are
// for arithmetic, and are taken where they occupy three quarters of the multiprocessors or can with
// splits of at least 512.
inline GemmPlan plan_gemm(int rows, int columns, int depth, int multiprocessors) {
  constexpr int kSmallestSplit = 128, kSmallestLargeSplit = 512, kWorthSplitting = 320;
  constexpr int kDepthUnit = 32;  // every tile's depth divides it
  const auto tiles = [&](int tile_rows, int tile_columns) {
    const long long a = (static_cast<long long>(rows) + tile_rows - 1) / tile_rows;
    const long long b = (static_cast<long long>(columns) + tile_columns - 1) / tile_columns;
    return a * b;
  };
  const auto clamped = [](long long splits, int most) {
    return static_cast<int>(splits < 1 ? 1 : splits > most ? (most < 1 ? 1 : most) : splits);
  };

  GemmPlan plan;
  const long long large = tiles(GemmPlan::kLargeRows, GemmPlan::kLargeColumns);
  const int large_splits = clamped(2LL * multiprocessors / large, depth / kSmallestLargeSplit);
  plan.large = rows > GemmPlan::kSmall && columns > GemmPlan::kSmall &&
               4 * large * large_splits >= 3LL * multiprocessors;
  const long long small = tiles(GemmPlan::kSmall, GemmPlan::kSmall);
  plan.splits =
      plan.large ? large_splits : clamped(multiprocessors / small, depth / kSmallestSplit);
  if (depth - depth / plan.splits < kWorthSplitting) plan.splits = 1;
  if ((plan.large ? large : small) > GemmPlan::kTickets) plan.splits = 1;

  const int share = (depth + plan.splits - 1) / plan.splits;
  plan.depth_a_split = (share + kDepthUnit - 1) / kDepthUnit * kDepthUnit;
  // Rounding up may leave the last ones without any depth.
  if (depth > 0) plan.splits = (depth + plan.depth_a_split - 1) / plan.depth_a_split;
  return plan;
}

}  // namespace lockstep
