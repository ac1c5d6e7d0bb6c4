// Gradients of a convolution's weights and biases from panels.
//
// A weight's gradient is a dot product over pixels and samples. A tile holds the sums of some
// output channels and some weights in registers, a vector of samples each, while it passes over the
// pixels; a row of a kernel reads neighbouring pixels, so a few pointers reach all of its values.
#include "backend/panel_conv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_conv_weights.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/lane_sum-inl.h"
#include "backend/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr auto kStep = static_cast<int64_t>(kLanes);
constexpr bool kManyRegisters = kTileRows == 12;
constexpr int kMostColumns = 5;  // of a kernel's row in one tile

// Channels and kernel rows of a tile whose kernel rows have V weights: R (1 + J V) + 1 registers.
constexpr int tile_channels(int v) {
  constexpr int kMany[] = {4, 4, 3, 3, 5}, kFew[] = {3, 3, 3, 3, 2};
  return kManyRegisters ? kMany[v - 1] : kFew[v - 1];
}
constexpr int tile_kernel_rows(int v) {
  constexpr int kMany[] = {6, 3, 3, 2, 1}, kFew[] = {3, 1, 1, 1, 1};
  return kManyRegisters ? kMany[v - 1] : kFew[v - 1];
}

// What a tile passes over, and where in it the tile's channels and weights are.
struct WeightPass {
  const ConvOutputs* outputs;
  const float* x;      // the panel
  const float* dy;     // of the rows `begin` to `end`
  int64_t dy_plane;    // floats
  int64_t begin, end;  // rows of outputs
  int64_t width;       // lanes
  int64_t channel;     // of the output, the tile's first
  int64_t kernel_row;  // counted through all input channels, the tile's first
  int64_t column;      // of the kernel, the tile's first
  float* dw;
};

// Columns of outputs for which all of `columns` kernel columns from `first` on lie in the image.
struct Interior {
  int64_t begin, end;
};
HWY_INLINE Interior interior_of(const Conv2d& conv, int64_t outputs, int64_t first,
                                int64_t columns) {
  const int64_t before = std::max<int64_t>(conv.padding - first, 0);
  const int64_t last = conv.input.width - 1 + conv.padding - (first + columns - 1);
  const int64_t begin = std::min((before + conv.stride - 1) / conv.stride, outputs);
  const int64_t end = last < 0 ? begin : std::min(last / conv.stride + 1, outputs);
  return {begin, std::max(begin, end)};
}

HWY_ALIGN constexpr float kNoValues[kPanelSamples] = {};

// GCC would rather load a value once more for each product that it is a factor of, and then the
// load ports decide.
HWY_INLINE void keep_in_register([[maybe_unused]] FloatVector& value) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  __asm__("" : "+v"(value.raw));
#endif
}

template <int V>
void run_pass(const WeightPass& pass) {
  constexpr int R = tile_channels(V), J = tile_kernel_rows(V);
  const FloatTag d;
  const Conv2d& conv = pass.outputs->conv;
  const int64_t pixels = pass.outputs->computed.width;
  const int64_t all_rows = conv.input.channels * conv.kernel_height;
  const int64_t step = conv.stride * kPanelSamples;
  const Interior interior = interior_of(conv, pixels, pass.column, V);
  HWY_ALIGN float lanes[R * J * V][kPanelSamples] = {};
  for (int64_t lane = 0; lane < pass.width; lane += kStep) {
    FloatVector sums[R][J][V];
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<J>([&](auto j) __attribute__((always_inline)) HWY_ATTR {
        unroll<V>([&](auto v) __attribute__((always_inline))
                  HWY_ATTR { sums[r][j][v] = hn::Zero(d); });
      });
    });
    for (int64_t y = pass.begin; y < pass.end; ++y) {
      // A channel or kernel row beyond the last is the last once more, and left out in the end; a
      // kernel row beyond the image multiplies zeros.
      const float* gradients[R];
      for (int64_t r = 0; r < R; ++r) {
        const int64_t channel = std::min(pass.channel + r, conv.channels - 1);
        gradients[r] =
            pass.dy + channel * pass.dy_plane + (y - pass.begin) * pixels * kPanelSamples + lane;
      }
      const float* inputs[J];
      bool inside[J];
      for (int64_t j = 0; j < J; ++j) {
        const int64_t row = std::min(pass.kernel_row + j, all_rows - 1);
        const int64_t from = y * conv.stride + row % conv.kernel_height - conv.padding;
        inside[j] = from >= 0 && from < conv.input.height;
        inputs[j] = pass.x + lane +
                    ((row / conv.kernel_height * conv.input.height + (inside[j] ? from : 0)) *
                         conv.input.width -
                     conv.padding + pass.column) *
                        kPanelSamples;
      }
      const auto add = [&](int64_t x, const auto& value) __attribute__((always_inline)) HWY_ATTR {
        FloatVector gradient[R];
        unroll<R>([&](auto r) __attribute__((always_inline))
                  HWY_ATTR { gradient[r] = hn::LoadU(d, gradients[r] + x * kPanelSamples); });
        unroll<J>([&](auto j) __attribute__((always_inline)) HWY_ATTR {
          unroll<V>([&](auto v) __attribute__((always_inline)) HWY_ATTR {
            FloatVector input = hn::LoadU(d, value(j, v));
            keep_in_register(input);
            unroll<R>([&](auto r) __attribute__((always_inline))
                      HWY_ATTR { sums[r][j][v] = hn::MulAdd(gradient[r], input, sums[r][j][v]); });
          });
        });
      };
      const bool whole = std::all_of(inside, inside + J, [](bool in) { return in; });
      const int64_t first = whole ? interior.begin : pixels, last = whole ? interior.end : pixels;
      for (int64_t x = first; x < last; ++x) {
        add(
            x, [&](auto j, auto v) __attribute__((always_inline))
               HWY_ATTR { return inputs[j] + x * step + v * kPanelSamples; });
      }
      for (int64_t x = first > 0 ? 0 : last; x < pixels; x = x + 1 == first ? last : x + 1) {
        add(
            x, [&](auto j, auto v) __attribute__((always_inline)) HWY_ATTR {
              const int64_t from = x * conv.stride + pass.column + v - conv.padding;
              const bool there = inside[j] && from >= 0 && from < conv.input.width;
              return there ? inputs[j] + x * step + v * kPanelSamples : kNoValues;
            });
      }
    }
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<J>([&](auto j) __attribute__((always_inline)) HWY_ATTR {
        unroll<V>([&](auto v) __attribute__((always_inline))
                  HWY_ATTR { hn::Store(sums[r][j][v], d, lanes[(r * J + j) * V + v] + lane); });
      });
    });
  }
  const int64_t kernel = conv.kernel_height * conv.kernel_width;
  for (int64_t r = 0; r < R && pass.channel + r < conv.channels; ++r) {
    for (int64_t j = 0; j < J && pass.kernel_row + j < all_rows; ++j) {
      const int64_t row = pass.kernel_row + j;
      float* const to = pass.dw + (pass.channel + r) * conv.input.channels * kernel +
                        row * conv.kernel_width + pass.column;
      for (int64_t v = 0; v < V; ++v) to[v] += sum_lanes(lanes[(r * J + j) * V + v]);
    }
  }
}

template <int V>
void run_passes(WeightPass pass, int64_t column) {
  const Conv2d& conv = pass.outputs->conv;
  pass.column = column;
  const int64_t rows = conv.input.channels * conv.kernel_height;
  // The output channels' gradients stay in the first-level cache while the input's planes pass.
  for (pass.channel = 0; pass.channel < conv.channels; pass.channel += tile_channels(V)) {
    for (pass.kernel_row = 0; pass.kernel_row < rows; pass.kernel_row += tile_kernel_rows(V)) {
      run_pass<V>(pass);
    }
  }
}

void weight_gradient(const ConvOutputs& outputs, const float* x, const float* dy, int64_t dy_rows,
                     int64_t width, int64_t begin, int64_t end, float* dw) {
  WeightPass pass{};
  pass.outputs = &outputs;
  pass.x = x;
  pass.dy = dy;
  pass.dy_plane = dy_rows * outputs.computed.width * kPanelSamples;
  pass.begin = begin;
  pass.end = end;
  pass.width = width;
  pass.dw = dw;
  const int64_t columns = outputs.conv.kernel_width;
  for (int64_t column = 0; column < columns;) {
    const int64_t here = std::min<int64_t>(columns - column, kMostColumns);
    switch (here) {
      case 1: run_passes<1>(pass, column); break;
      case 2: run_passes<2>(pass, column); break;
      case 3: run_passes<3>(pass, column); break;
      case 4: run_passes<4>(pass, column); break;
      default: run_passes<5>(pass, column); break;
    }
    column += here;
  }
}

void bias_gradient(ConstPanels dy, int64_t pixels, float* db) {
  const int64_t channels = dy.features / pixels;
  for (int64_t c = 0; c < channels; ++c) {
    HWY_ALIGN float lanes[kPanelSamples] = {};
    for (int64_t p = 0; p < dy.count(); ++p) {
      const float* plane = dy.panel(p) + c * pixels * kPanelSamples;
      for (int64_t lane = 0; lane < dy.width(p); lane += kStep) {
        Floats sum = load(lanes + lane);
        for (int64_t i = 0; i < pixels; ++i) sum = sum + load(plane + i * kPanelSamples + lane);
        store(sum, lanes + lane);
      }
    }
    db[c] = sum_lanes(lanes);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(weight_gradient);
HWY_EXPORT(bias_gradient);

void panel_conv_weight_gradient(const ConvOutputs& outputs, const float* x, const float* dy,
                                int64_t dy_rows, int64_t width, int64_t begin, int64_t end,
                                float* dw) {
  HWY_DYNAMIC_DISPATCH(weight_gradient)(outputs, x, dy, dy_rows, width, begin, end, dw);
}

void panel_conv_bias_gradient(ConstPanels dy, int64_t pixels, float* db) {
  HWY_DYNAMIC_DISPATCH(bias_gradient)(dy, pixels, db);
}

}  // namespace lockstep
#endif  // HWY_ONCE
