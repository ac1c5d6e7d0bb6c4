#include "backend/panel_gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_gemm.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/tile-inl.h"
#include "backend/update-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kTileWidth = kTileVectors * static_cast<int64_t>(kLanes);

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

// The weight gradient's tile: dy comes in panels, whose rows lie kPanelSamples floats apart.
struct WeightTile {
  ConstPanels dy;
  int64_t unit;
  ConstMatrix x;  // from the tile's first column on
  float* out;
  int64_t out_row;
};

template <int R, int C>
void run_weight_tile(const WeightTile& p) {
  Tile<R, C> tile;
  tile.clear();
  const int64_t panels = p.dy.count();
  for (int64_t i = 0; i < panels; ++i) {
    tile.add_products(p.dy.panel(i) + p.unit * kPanelSamples, kPanelSamples, 1,
                      p.x.row(i * kPanelSamples), p.x.stride, p.dy.samples_in(i));
  }
  tile.store(p.out, p.out_row);
}

// table[C - 1][R - 1] runs an R x C tile.
template <class Product>
using TileFunction = void (*)(const Product&);

template <int C, int... R>
constexpr std::array<TileFunction<TileProduct>, kTileRows> tile_functions(
    std::integer_sequence<int, R...>) {
  return {run_tile<R + 1, C>...};
}

template <int C, int... R>
constexpr std::array<TileFunction<WeightTile>, kTileRows> weight_tile_functions(
    std::integer_sequence<int, R...>) {
  return {run_weight_tile<R + 1, C>...};
}

using Heights = std::make_integer_sequence<int, kTileRows>;
constexpr std::array<TileFunction<TileProduct>, kTileRows> kTiles[kTileVectors] = {
    tile_functions<1>(Heights{}), tile_functions<2>(Heights{})};
constexpr std::array<TileFunction<WeightTile>, kTileRows> kWeightTiles[kTileVectors] = {
    weight_tile_functions<1>(Heights{}), weight_tile_functions<2>(Heights{})};

// Vectors of a tile over `columns` more columns.
HWY_INLINE int tile_vectors(int64_t columns) {
  return columns > static_cast<int64_t>(kLanes) ? kTileVectors : 1;
}

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

// Units whose tiles share one strip of x while it is in the first-level cache.
constexpr int64_t kUnitBlock = 4 * kTileRows;

// Calls with each tile of the weight gradient: its first unit and column, height and width.
template <class Call>
HWY_INLINE void for_each_weight_tile(UnitRange units, int64_t inputs, const Call& call) {
  for (int64_t block = units.begin; block < units.end; block += kUnitBlock) {
    const TileRows cut(std::min(kUnitBlock, units.end - block));
    for (int64_t column = 0; column < inputs; column += kTileWidth) {
      int64_t unit = block;
      for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
        const int64_t height = cut.height(tile);
        call(unit, column, height, std::min(kTileWidth, inputs - column));
        unit += height;
      }
    }
  }
}

HWY_INLINE void weight_tile(ConstPanels dy, ConstMatrix x, int64_t unit, int64_t column,
                            int64_t height, int64_t width, float* out, int64_t out_row) {
  const ConstMatrix strip{x.data + column, x.rows, width, x.stride};
  kWeightTiles[tile_vectors(width) - 1][height - 1]({dy, unit, strip, out, out_row});
}

void weight_gradient(ConstPanels dy, ConstMatrix x, UnitRange units, float* dw) {
  const int64_t inputs = x.columns;
  HWY_ALIGN float scratch[kTileRows * kTileWidth];
  for_each_weight_tile(
      units, inputs, [&](int64_t unit, int64_t column, int64_t height, int64_t width) HWY_ATTR {
        float* out = dw + (unit - units.begin) * inputs + column;
        if (width % kLanes == 0) {
          weight_tile(dy, x, unit, column, height, width, out, inputs);
          return;
        }
        weight_tile(dy, x, unit, column, height, width, scratch, kTileWidth);
        for (int64_t r = 0; r < height; ++r) {
          std::memcpy(out + r * inputs, scratch + r * kTileWidth, width * sizeof(float));
        }
      });
}

template <class Rule>
HWY_INLINE void prefetch_tile(const UpdateArrays& weights, int64_t first, int64_t row,
                              int64_t height, int64_t width) {
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t i = first + r * row, end = i + width; i < end; i += 16) {
      hwy::Prefetch(weights.values + i);
      if constexpr (Rule::kStates > 0) hwy::Prefetch(weights.state0 + i);
      if constexpr (Rule::kStates > 1) hwy::Prefetch(weights.state1 + i);
    }
  }
}

template <class Rule>
void weight_update(ConstPanels dy, ConstMatrix x, UnitRange units, const UpdateScalars& scalars,
                   const UpdateArrays& weights) {
  const int64_t inputs = x.columns;
  HWY_ALIGN float scratch[kTileRows * kTileWidth];
  for_each_weight_tile(
      units, inputs, [&](int64_t unit, int64_t column, int64_t height, int64_t width) HWY_ATTR {
        const int64_t first = unit * inputs + column;
        prefetch_tile<Rule>(weights, first, inputs, height, width);
        weight_tile(dy, x, unit, column, height, width, scratch, kTileWidth);
        for (int64_t r = 0; r < height; ++r) {
          const UpdateArrays row = Rule::at(weights, first + r * inputs, scratch + r * kTileWidth);
          update_range<Rule>(scalars, row, width);
        }
      });
}

void update_sgd(ConstPanels dy, ConstMatrix x, UnitRange units, const UpdateScalars& scalars,
                const UpdateArrays& weights) {
  weight_update<SgdRule>(dy, x, units, scalars, weights);
}
void update_momentum(ConstPanels dy, ConstMatrix x, UnitRange units, const UpdateScalars& scalars,
                     const UpdateArrays& weights) {
  weight_update<MomentumRule>(dy, x, units, scalars, weights);
}
void update_nesterov(ConstPanels dy, ConstMatrix x, UnitRange units, const UpdateScalars& scalars,
                     const UpdateArrays& weights) {
  weight_update<NesterovRule>(dy, x, units, scalars, weights);
}
void update_adam(ConstPanels dy, ConstMatrix x, UnitRange units, const UpdateScalars& scalars,
                 const UpdateArrays& weights) {
  weight_update<AdamRule>(dy, x, units, scalars, weights);
}

// Lane sums over the panels, then lane i + lane i + 16, + 8, + 4, + 2, + 1: an order that does not
// know the vector width.
void bias_gradient(ConstPanels dy, float* db) {
  HWY_ALIGN float lanes[kPanelSamples];
  for (int64_t unit = 0; unit < dy.features; ++unit) {
    std::fill_n(lanes, kPanelSamples, 0.0f);
    for (int64_t p = 0; p < dy.count(); ++p) {
      const float* from = dy.panel(p) + unit * kPanelSamples;
      for (int64_t i = 0; i < dy.width(p); i += kLanes) {
        store(load(lanes + i) + load(from + i), lanes + i);
      }
    }
    for (int64_t half = kPanelSamples / 2; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    db[unit] = lanes[0];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(forward);
HWY_EXPORT(input_gradient);
HWY_EXPORT(weight_gradient);
HWY_EXPORT(update_sgd);
HWY_EXPORT(update_momentum);
HWY_EXPORT(update_nesterov);
HWY_EXPORT(update_adam);
HWY_EXPORT(bias_gradient);

void panel_forward(const LinearWeights& w, ConstPanels x, Panels y) {
  HWY_DYNAMIC_DISPATCH(forward)(w, x, y);
}

void panel_input_gradient(const LinearWeights& w, ConstPanels dy, Panels dx) {
  HWY_DYNAMIC_DISPATCH(input_gradient)(w, dy, dx);
}

void panel_weight_gradient(ConstPanels dy, ConstMatrix x, UnitRange units, float* dw) {
  HWY_DYNAMIC_DISPATCH(weight_gradient)(dy, x, units, dw);
}

void panel_weight_update(ConstPanels dy, ConstMatrix x, UnitRange units, UpdateRule rule,
                         const UpdateScalars& scalars, const UpdateArrays& weights) {
  switch (rule) {
    case UpdateRule::sgd: return HWY_DYNAMIC_DISPATCH(update_sgd)(dy, x, units, scalars, weights);
    case UpdateRule::momentum:
      return HWY_DYNAMIC_DISPATCH(update_momentum)(dy, x, units, scalars, weights);
    case UpdateRule::nesterov:
      return HWY_DYNAMIC_DISPATCH(update_nesterov)(dy, x, units, scalars, weights);
    case UpdateRule::adam: return HWY_DYNAMIC_DISPATCH(update_adam)(dy, x, units, scalars, weights);
  }
}

void panel_bias_gradient(ConstPanels dy, float* db) {
  HWY_DYNAMIC_DISPATCH(bias_gradient)(dy, db);
}

}  // namespace lockstep
#endif  // HWY_ONCE
