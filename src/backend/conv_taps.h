// Which products a pixel of a convolution, or of its input gradient, is the sum of.
//
// Along one axis an output at y takes, of a kernel of k weights, those whose input lies inside the
// image: weight u times input y stride + u - padding. Pixels in the middle share one list of such
// taps, those near an edge have shorter ones. The input gradient is the same the other way round:
// input y receives from each output (y + padding - u) / stride that there is. Either way nothing
// is padded with zeros, and no product with a zero beyond the edge is computed.
//
// An indirect convolution (Dukhan, "The indirect convolution algorithm", 2019) over panels, whose
// indirection is a list a class of pixels and not one a pixel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/model.h"

namespace lockstep {

// Of one channel: the weight's index in its kernel, and the value's distance in floats of a panel
// from the pixel's base.
struct Tap {
  int32_t weight = 0;
  int32_t value = 0;
};

class TapTable {
 public:
  // y[computed] from x[conv.input].
  static TapTable forward(const Conv2d& conv, const ImageShape& computed);
  // dx[conv.input] from dy[computed].
  static TapTable input_gradient(const Conv2d& conv, const ImageShape& computed);

  int64_t height() const { return static_cast<int64_t>(rows_.base.size()); }
  int64_t width() const { return static_cast<int64_t>(columns_.base.size()); }
  // In the order of the kernel's weights for forward(), the reverse for input_gradient().
  std::span<const Tap> taps(int64_t y, int64_t x) const {
    return lists_[rows_.kind[y] * columns_.lists.size() + columns_.kind[x]];
  }
  // Floats from the start of a channel's plane; what the taps say is added to it.
  int64_t base(int64_t y, int64_t x) const { return rows_.base[y] + columns_.base[x]; }

 private:
  struct AxisTap {
    int64_t weight;
    int64_t value;
    bool operator==(const AxisTap&) const = default;
  };
  struct Axis {
    std::vector<int64_t> base;
    std::vector<size_t> kind;  // of each position: its entry in `lists`
    std::vector<std::vector<AxisTap>> lists;
    void add(int64_t position, const std::vector<AxisTap>& taps);
  };
  static Axis forward_axis(int64_t outputs, int64_t inputs, int64_t kernel, const Conv2d& conv);
  static Axis gradient_axis(int64_t inputs, int64_t outputs, int64_t kernel, const Conv2d& conv);
  // Positions become floats: a row of the source is `source_width` values of 32 lanes.
  TapTable(Axis rows, Axis columns, int64_t kernel_width, int64_t source_width);

  Axis rows_;
  Axis columns_;
  std::vector<std::vector<Tap>> lists_;  // of each pair of kinds
};

}  // namespace lockstep
