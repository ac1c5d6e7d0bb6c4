// Weight gradients from panels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_weights.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/panel_gemm.h"
#include "backend/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// One tile of the weight gradient: units from `unit` on, columns from x's first on.
struct WeightTile {
  ConstPanels dy;
  int64_t unit;
  ConstMatrix x;
  float* out;
  int64_t out_row;
};

template <int R, int C>
void run_tile(const WeightTile& p) {
  Tile<R, C> tile;
  tile.clear();
  const int64_t panels = p.dy.count();
  for (int64_t i = 0; i < panels; ++i) {
    tile.add_products(p.dy.panel(i) + p.unit * kPanelSamples, kPanelSamples, 1,
                      p.x.row(i * kPanelSamples), p.x.stride, p.dy.samples_in(i));
  }
  tile.store(p.out, p.out_row);
}

template <int C, int... R>
constexpr std::array<void (*)(const WeightTile&), kTileRows> tiles(
    std::integer_sequence<int, R...>) {
  return {run_tile<R + 1, C>...};
}

using Heights = std::make_integer_sequence<int, kTileRows>;
constexpr std::array<void (*)(const WeightTile&), kTileRows> kTiles[kTileVectors] = {
    tiles<1>(Heights{}), tiles<2>(Heights{})};

// A tile whose last vector reaches beyond its row goes through memory of its own.
HWY_INLINE void weight_tile(ConstPanels dy, ConstMatrix x, int64_t unit, int64_t column,
                            int64_t height, float* out) {
  const int64_t width = std::min(kTileWidth, x.columns - column);
  const ConstMatrix strip{x.data + column, x.rows, width, x.stride};
  const auto run = kTiles[tile_vectors(width) - 1][height - 1];
  if (width % static_cast<int64_t>(kLanes) == 0) {
    run({dy, unit, strip, out, x.columns});
    return;
  }
  HWY_ALIGN float whole[kTileRows * kTileWidth];
  run({dy, unit, strip, whole, kTileWidth});
  for (int64_t r = 0; r < height; ++r) {
    std::memcpy(out + r * x.columns, whole + r * kTileWidth, width * sizeof(float));
  }
}

// Units whose tiles share one strip of x while it is in the first-level cache.
constexpr int64_t kUnitBlock = 4 * kTileRows;

void weight_gradient(ConstPanels dy, ConstMatrix x, UnitRange units, float* dw) {
  for (int64_t block = units.begin; block < units.end; block += kUnitBlock) {
    const TileRows cut(std::min(kUnitBlock, units.end - block));
    for (int64_t column = 0; column < x.columns; column += kTileWidth) {
      int64_t unit = block;
      for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
        weight_tile(dy, x, unit, column, cut.height(tile),
                    dw + (unit - units.begin) * x.columns + column);
        unit += cut.height(tile);
      }
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(weight_gradient);

void panel_weight_gradient(ConstPanels dy, ConstMatrix x, UnitRange units, float* dw) {
  HWY_DYNAMIC_DISPATCH(weight_gradient)(dy, x, units, dw);
}

}  // namespace lockstep
#endif  // HWY_ONCE
