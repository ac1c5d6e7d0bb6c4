#include "backend/panel_gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_gemm.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// A product of `terms` terms into the tile at `out`.
struct TileProduct {
  const float* a;
  int64_t a_row;
  int64_t a_step;
  const float* b;
  int64_t b_step;
  int64_t terms;
  const float* start;  // one value a row that the sums start from; null: zero
  float* out;
  int64_t out_row;
};

template <int R, int C>
void run_tile(const TileProduct& p) {
  Tile<R, C> tile;
  if (p.start) {
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<C>([&](auto c) __attribute__((always_inline))
                HWY_ATTR { tile.sums[r][c] = hn::Set(FloatTag(), p.start[r]); });
    });
  } else {
    tile.clear();
  }
  tile.add_products(p.a, p.a_row, p.a_step, p.b, p.b_step, p.terms);
  tile.store(p.out, p.out_row);
}

// kTiles[C - 1][R - 1] runs an R x C tile.
using TileFunction = void (*)(const TileProduct&);

template <int C, int... R>
constexpr std::array<TileFunction, kTileRows> tile_functions(std::integer_sequence<int, R...>) {
  return {run_tile<R + 1, C>...};
}

using Heights = std::make_integer_sequence<int, kTileRows>;
constexpr std::array<TileFunction, kTileRows> kTiles[kTileVectors] = {tile_functions<1>(Heights{}),
                                                                      tile_functions<2>(Heights{})};

// Calls with each tile of rows; inside, with all panels: a tile's weights are read from memory
// once for all of them.
template <class Call>
HWY_INLINE void for_each_tile(ConstPanels panels, int64_t rows, const Call& call) {
  const TileRows cut(rows);
  int64_t row = 0;
  for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
    const int64_t height = cut.height(tile);
    for (int64_t p = 0; p < panels.count(); ++p) {
      const int64_t width = panels.width(p);
      for (int64_t lane = 0; lane < width; lane += kTileWidth) {
        call(row, height, p, lane, tile_vectors(width - lane));
      }
    }
    row += height;
  }
}

void forward(const LinearWeights& w, ConstPanels x, Panels y) {
  for_each_tile(
      x, w.outputs,
      [&](int64_t unit, int64_t height, int64_t p, int64_t lane, int vectors) HWY_ATTR {
        kTiles[vectors - 1][height - 1]({w.weight + unit * w.inputs, w.inputs, 1, x.panel(p) + lane,
                                         kPanelSamples, w.inputs, w.bias + unit,
                                         y.panel(p) + unit * kPanelSamples + lane, kPanelSamples});
      });
}

void input_gradient(const LinearWeights& w, ConstPanels dy, Panels dx) {
  for_each_tile(
      dy, w.inputs, [&](int64_t k, int64_t height, int64_t p, int64_t lane, int vectors) HWY_ATTR {
        kTiles[vectors - 1][height - 1]({w.weight + k, 1, w.inputs, dy.panel(p) + lane,
                                         kPanelSamples, w.outputs, nullptr,
                                         dx.panel(p) + k * kPanelSamples + lane, kPanelSamples});
      });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(forward);
HWY_EXPORT(input_gradient);

void panel_forward(const LinearWeights& w, ConstPanels x, Panels y) {
  HWY_DYNAMIC_DISPATCH(forward)(w, x, y);
}

void panel_input_gradient(const LinearWeights& w, ConstPanels dy, Panels dx) {
  HWY_DYNAMIC_DISPATCH(input_gradient)(w, dy, dx);
}

}  // namespace lockstep
#endif  // HWY_ONCE
