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

// One tile of the weight gradient: units from `unit` on, columns from `column` on.
struct WeightTile {
  std::span<const LayerFactors> shares;
  int64_t unit;
  int64_t column;
  bool add;  // to what `out` holds
  float* out;
  int64_t out_row;
};

template <int R, int C>
void run_tile(const WeightTile& p) {
  Tile<R, C> tile;
  tile.clear();
  for (const LayerFactors& share : p.shares) {
    const int64_t panels = share.dy.count();
    for (int64_t i = 0; i < panels; ++i) {
      tile.add_products(share.dy.panel(i) + p.unit * kPanelSamples, kPanelSamples, 1,
                        share.x.row(i * kPanelSamples) + p.column, share.x.stride,
                        share.dy.samples_in(i));
    }
  }
  if (p.add) {
    tile.add_to(p.out, p.out_row);
  } else {
    tile.store(p.out, p.out_row);
  }
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
HWY_INLINE void weight_tile(WeightTile tile, int64_t columns, int64_t height) {
  const int64_t width = std::min(kTileWidth, columns - tile.column);
  const auto run = kTiles[tile_vectors(width) - 1][height - 1];
  if (width % static_cast<int64_t>(kLanes) == 0) {
    run(tile);
    return;
  }
  HWY_ALIGN float whole[kTileRows * kTileWidth];
  run({tile.shares, tile.unit, tile.column, false, whole, kTileWidth});
  for (int64_t r = 0; r < height; ++r) {
    float* out = tile.out + r * tile.out_row;
    for (int64_t k = 0; k < width; ++k) {
      out[k] = tile.add ? out[k] + whole[r * kTileWidth + k] : whole[r * kTileWidth + k];
    }
  }
}

// Units whose tiles share one strip of x while it is in the first-level cache.
constexpr int64_t kUnitBlock = 4 * kTileRows;

// One chain over the shares.
void weight_gradient(std::span<const LayerFactors> shares, UnitRange units, bool add, float* dw) {
  const int64_t columns = shares[0].x.columns;
  for (int64_t block = units.begin; block < units.end; block += kUnitBlock) {
    const TileRows cut(std::min(kUnitBlock, units.end - block));
    for (int64_t column = 0; column < columns; column += kTileWidth) {
      int64_t unit = block;
      for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
        weight_tile(
            {shares, unit, column, add, dw + (unit - units.begin) * columns + column, columns},
            columns, cut.height(tile));
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

void panel_weight_gradient(std::span<const LayerFactors> shares, UnitRange units, ShareSum sum,
                           float* dw) {
  if (sum == ShareSum::chain) {
    return HWY_DYNAMIC_DISPATCH(weight_gradient)(shares, units, false, dw);
  }
  for (size_t i = 0; i < shares.size(); ++i) {
    HWY_DYNAMIC_DISPATCH(weight_gradient)(shares.subspan(i, 1), units, i > 0, dw);
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
