// Forward and the input gradient of convolutions over panels, and max pooling behind them.
#include "backend/panel_conv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_conv.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr auto kStep = static_cast<int64_t>(kLanes);

// weights[tile][inner][kernel][row of the tile] from an order in which rows lie `row_step` and
// inner ones `inner_step` floats apart.
void pack(const float* weight, int64_t rows, int64_t row_step, int64_t inner, int64_t inner_step,
          int64_t kernel, float* packed) {
  const TileRows cut(rows);
  int64_t row = 0;
  for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
    const int64_t height = cut.height(tile);
    for (int64_t c = 0; c < inner; ++c) {
      for (int64_t k = 0; k < kernel; ++k) {
        for (int64_t r = 0; r < height; ++r) {
          *packed++ = weight[(row + r) * row_step + c * inner_step + k];
        }
      }
    }
    row += height;
  }
}

// One tile of one pixel: some channels of the output, one or two vectors of samples.
struct PixelProduct {
  std::span<const Tap> taps;
  const float* weights;  // of the tile
  int64_t kernel;        // weights of a channel
  const float* source;   // the pixel's base in the first channel's plane
  int64_t plane;         // floats between the planes of the source
  int64_t channels;      // of the source
};

template <int R, int C>
HWY_INLINE void add_pixel(const PixelProduct& p, Tile<R, C>& tile) {
  const float* weights = p.weights;
  const float* source = p.source;
  for (int64_t c = 0; c < p.channels; ++c) {
    for (const Tap& tap : p.taps) {
      tile.add_product(weights + tap.weight * R, 1, source + tap.value);
    }
    weights += p.kernel * R;
    source += p.plane;
  }
}

template <int R, int C>
HWY_INLINE void start_from(const float* bias, Tile<R, C>& tile) {
  unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
    unroll<C>([&](auto c) __attribute__((always_inline))
              HWY_ATTR { tile.sums[r][c] = hn::Set(FloatTag(), bias[r]); });
  });
}

// max(0, y) would turn NaN into 0 and hide a diverged run.
HWY_INLINE FloatVector rectified(FloatVector y) {
  const FloatVector zero = hn::Zero(FloatTag());
  return hn::IfThenElse(hn::Lt(y, zero), zero, y);
}

// A convolution's tile at every pixel, or window of pixels, of a row of its outputs.
struct RowOfPixels {
  const ConvOutputs* outputs;
  const TapTable* taps;
  PixelProduct product;  // source: the lanes' first float of the panel
  const float* bias;     // of the tile's channels
  int64_t y;             // of the outputs after pooling
  float* to;             // of the tile's first channel, the row's first pixel
  int64_t to_plane;
  uint8_t* chosen;  // beside `to`; may be null
};

HWY_INLINE PixelProduct at_pixel(const RowOfPixels& row, int64_t y, int64_t x) {
  PixelProduct product = row.product;
  product.taps = row.taps->taps(y, x);
  product.source += row.taps->base(y, x);
  return product;
}

template <int R, int C>
HWY_INLINE void store_outputs(const Tile<R, C>& tile, bool relu, float* to, int64_t plane) {
  unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
    unroll<C>([&](auto c) __attribute__((always_inline)) HWY_ATTR {
      const FloatVector y = tile.sums[r][c];
      hn::StoreU(relu ? rectified(y) : y, FloatTag(), to + r * plane + c * kStep);
    });
  });
}

// The largest of what a window's pixels left in `sums` [pixels][R][C vectors].
template <int R, int C>
HWY_INLINE void store_largest(const float* sums, int64_t pixels, bool relu, float* to,
                              int64_t plane, uint8_t* chosen) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> ints;
  const hn::Rebind<uint8_t, FloatTag> bytes;
  constexpr int64_t kSize = R * C * kStep;
  unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
    unroll<C>([&](auto c) __attribute__((always_inline)) HWY_ATTR {
      const float* at = sums + (r * C + c) * kStep;
      FloatVector best = hn::Load(d, at);
      auto place = hn::Zero(ints);
      for (int64_t i = 1; i < pixels; ++i) {
        const FloatVector y = hn::Load(d, at + i * kSize);
        const auto larger = hn::Or(hn::Gt(y, best), hn::IsNaN(y));
        best = hn::IfThenElse(larger, y, best);
        place = hn::IfThenElse(hn::RebindMask(ints, larger), hn::Set(ints, static_cast<int32_t>(i)),
                               place);
      }
      const int64_t out = r * plane + c * kStep;
      hn::StoreU(relu ? rectified(best) : best, d, to + out);
      if (chosen) hn::StoreU(hn::DemoteTo(bytes, place), bytes, chosen + out);
    });
  });
}

template <int R, int C>
void run_row(const RowOfPixels& row) {
  const ConvOutputs& outputs = *row.outputs;
  const bool relu = outputs.conv.activation == Activation::relu;
  const int64_t pool = outputs.pool;
  constexpr int64_t kMostPool = 15;
  HWY_ALIGN float window[kMostPool * kMostPool * R * C * kLanes];
  for (int64_t x = 0; x < outputs.computed.width / pool; ++x) {
    float* const to = row.to + x * kPanelSamples;
    uint8_t* const chosen = row.chosen ? row.chosen + x * kPanelSamples : nullptr;
    for (int64_t i = 0; i < pool * pool; ++i) {
      Tile<R, C> tile;
      start_from(row.bias, tile);
      add_pixel(at_pixel(row, row.y * pool + i / pool, x * pool + i % pool), tile);
      if (pool == 1) {
        store_outputs(tile, relu, to, row.to_plane);
      } else {
        tile.store(window + i * R * C * kStep, C * kStep);
      }
    }
    if (pool > 1) store_largest<R, C>(window, pool * pool, relu, to, row.to_plane, chosen);
  }
}

// A tile of the input gradient at every pixel of a row.
struct RowOfGradients {
  const TapTable* taps;
  PixelProduct product;
  int64_t y;
  float* to;
  int64_t to_plane;
};

template <int R, int C>
void run_gradient_row(const RowOfGradients& row) {
  for (int64_t x = 0; x < row.taps->width(); ++x) {
    PixelProduct product = row.product;
    product.taps = row.taps->taps(row.y, x);
    product.source += row.taps->base(row.y, x);
    Tile<R, C> tile;
    tile.clear();
    add_pixel(product, tile);
    tile.store(row.to + x * kPanelSamples, row.to_plane);
  }
}

template <int C, int... R>
constexpr std::array<void (*)(const RowOfPixels&), kTileRows> rows(
    std::integer_sequence<int, R...>) {
  return {run_row<R + 1, C>...};
}
template <int C, int... R>
constexpr std::array<void (*)(const RowOfGradients&), kTileRows> gradient_rows(
    std::integer_sequence<int, R...>) {
  return {run_gradient_row<R + 1, C>...};
}

// [vectors - 1][height of the tile - 1]
using Heights = std::make_integer_sequence<int, kTileRows>;
constexpr std::array<void (*)(const RowOfPixels&), kTileRows> kRows[kTileVectors] = {
    rows<1>(Heights{}), rows<2>(Heights{})};
constexpr std::array<void (*)(const RowOfGradients&), kTileRows> kGradientRows[kTileVectors] = {
    gradient_rows<1>(Heights{}), gradient_rows<2>(Heights{})};

void forward(const ConvOutputs& outputs, const TapTable& taps, const float* weights,
             const float* bias, const float* x, int64_t width, float* y, uint8_t* chosen) {
  const Conv2d& conv = outputs.conv;
  const int64_t kernel = conv.kernel_height * conv.kernel_width;
  const int64_t row_pixels = outputs.computed.width / outputs.pool;
  const int64_t rows = outputs.computed.height / outputs.pool;
  const int64_t plane = rows * row_pixels * kPanelSamples;
  const TileRows cut(conv.channels);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t channel = 0;
    for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
      const int64_t height = cut.height(tile);
      for (int64_t lane = 0; lane < width; lane += kTileWidth) {
        const int64_t to = channel * plane + row * row_pixels * kPanelSamples + lane;
        kRows[tile_vectors(width - lane) - 1][height - 1]({&outputs,
                                                           &taps,
                                                           {{},
                                                            weights + channel * conv.fan_in(),
                                                            kernel,
                                                            x + lane,
                                                            conv.input.pixels() * kPanelSamples,
                                                            conv.input.channels},
                                                           bias + channel,
                                                           row,
                                                           y + to,
                                                           plane,
                                                           chosen ? chosen + to : nullptr});
      }
      channel += height;
    }
  }
}

void input_gradient(const ConvOutputs& outputs, const TapTable& taps, const float* weights,
                    const float* dy, int64_t width, float* dx) {
  const Conv2d& conv = outputs.conv;
  const int64_t kernel = conv.kernel_height * conv.kernel_width;
  const int64_t plane = conv.input.pixels() * kPanelSamples;
  const TileRows cut(conv.input.channels);
  for (int64_t y = 0; y < conv.input.height; ++y) {
    int64_t channel = 0;
    for (int64_t tile = 0; tile < cut.tiles(); ++tile) {
      const int64_t height = cut.height(tile);
      for (int64_t lane = 0; lane < width; lane += kTileWidth) {
        kGradientRows[tile_vectors(width - lane) - 1][height - 1](
            {&taps,
             {{},
              weights + channel * conv.channels * kernel,
              kernel,
              dy + lane,
              outputs.computed.pixels() * kPanelSamples,
              conv.channels},
             y,
             dx + channel * plane + y * conv.input.width * kPanelSamples + lane,
             plane});
      }
      channel += height;
    }
  }
}

void unpool(const ConvOutputs& outputs, const float* pooled, const uint8_t* chosen, int64_t width,
            int64_t begin, int64_t end, float* dy) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> ints;
  const hn::Rebind<uint8_t, FloatTag> bytes;
  const int64_t pool = outputs.pool, row_pixels = outputs.computed.width;
  const int64_t windows = row_pixels / pool;
  const int64_t pooled_plane = outputs.computed.pixels() / (pool * pool);
  for (int64_t c = 0; c < outputs.conv.channels; ++c) {
    for (int64_t y = begin / pool; y < end / pool; ++y) {
      for (int64_t x = 0; x < windows; ++x) {
        const int64_t from = (c * pooled_plane + y * windows + x) * kPanelSamples;
        const int64_t corner =
            ((c * (end - begin) + y * pool - begin) * row_pixels + x * pool) * kPanelSamples;
        for (int64_t lane = 0; lane < width; lane += kStep) {
          const FloatVector gradient = hn::LoadU(d, pooled + from + lane);
          const auto place = hn::PromoteTo(ints, hn::LoadU(bytes, chosen + from + lane));
          for (int64_t i = 0; i < pool * pool; ++i) {
            const auto here =
                hn::RebindMask(d, hn::Eq(place, hn::Set(ints, static_cast<int32_t>(i))));
            hn::StoreU(hn::IfThenElseZero(here, gradient), d,
                       dy + corner + (i / pool * row_pixels + i % pool) * kPanelSamples + lane);
          }
        }
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

HWY_EXPORT(pack);
HWY_EXPORT(forward);
HWY_EXPORT(input_gradient);
HWY_EXPORT(unpool);

PackedWeights::PackedWeights(const Conv2d& conv)
    : outputs_(conv.channels),
      inputs_(conv.input.channels),
      kernel_(conv.kernel_height * conv.kernel_width),
      packed_(static_cast<size_t>(outputs_ * inputs_ * kernel_)) {}

void PackedWeights::pack_forward(const float* weight) {
  HWY_DYNAMIC_DISPATCH(pack)
  (weight, outputs_, inputs_ * kernel_, inputs_, kernel_, kernel_, packed_.data());
}

void PackedWeights::pack_input_gradient(const float* weight) {
  HWY_DYNAMIC_DISPATCH(pack)
  (weight, inputs_, kernel_, outputs_, inputs_ * kernel_, kernel_, packed_.data());
}

void panel_conv_forward(const ConvOutputs& outputs, const TapTable& taps,
                        const PackedWeights& weights, const float* bias, const float* x,
                        int64_t width, float* y, uint8_t* chosen) {
  HWY_DYNAMIC_DISPATCH(forward)(outputs, taps, weights.data(), bias, x, width, y, chosen);
}

void panel_conv_input_gradient(const ConvOutputs& outputs, const TapTable& taps,
                               const PackedWeights& weights, const float* dy, int64_t width,
                               float* dx) {
  HWY_DYNAMIC_DISPATCH(input_gradient)(outputs, taps, weights.data(), dy, width, dx);
}

void pooled_gradient(const ConvOutputs& outputs, const float* pooled, const uint8_t* chosen,
                     int64_t width, int64_t begin, int64_t end, float* dy) {
  HWY_DYNAMIC_DISPATCH(unpool)(outputs, pooled, chosen, width, begin, end, dy);
}

}  // namespace lockstep
#endif  // HWY_ONCE
