#include "backend/conv_taps.h"

#include <algorithm>

#include "backend/panel.h"

namespace lockstep {

void TapTable::Axis::add(int64_t position, const std::vector<AxisTap>& taps) {
  base.push_back(position);
  const auto found = std::find(lists.begin(), lists.end(), taps);
  kind.push_back(static_cast<size_t>(found - lists.begin()));
  if (found == lists.end()) lists.push_back(taps);
}

TapTable::Axis TapTable::forward_axis(int64_t outputs, int64_t inputs, int64_t kernel,
                                      const Conv2d& conv) {
  Axis axis;
  for (int64_t y = 0; y < outputs; ++y) {
    const int64_t first = y * conv.stride - conv.padding;
    std::vector<AxisTap> taps;
    for (int64_t u = 0; u < kernel; ++u) {
      if (first + u >= 0 && first + u < inputs) taps.push_back({u, u});
    }
    axis.add(first, taps);
  }
  return axis;
}

TapTable::Axis TapTable::gradient_axis(int64_t inputs, int64_t outputs, int64_t kernel,
                                       const Conv2d& conv) {
  Axis axis;
  for (int64_t y = 0; y < inputs; ++y) {
    const int64_t last = (y + conv.padding) / conv.stride;  // what weight u = 0 or 1, ... reaches
    std::vector<AxisTap> taps;
    for (int64_t u = kernel - 1; u >= 0; --u) {
      const int64_t reached = y + conv.padding - u;
      if (reached < 0 || reached % conv.stride != 0) continue;
      const int64_t output = reached / conv.stride;
      if (output < outputs) taps.push_back({u, output - last});
    }
    axis.add(last, taps);
  }
  return axis;
}

TapTable::TapTable(Axis rows, Axis columns, int64_t kernel_width, int64_t source_width)
    : rows_(std::move(rows)), columns_(std::move(columns)) {
  for (const auto& row : rows_.lists) {
    for (const auto& column : columns_.lists) {
      std::vector<Tap>& list = lists_.emplace_back();
      for (const AxisTap& u : row) {
        for (const AxisTap& v : column) {
          list.push_back(
              {static_cast<int32_t>(u.weight * kernel_width + v.weight),
               static_cast<int32_t>((u.value * source_width + v.value) * kPanelSamples)});
        }
      }
    }
  }
  for (int64_t& base : rows_.base) base *= source_width * kPanelSamples;
  for (int64_t& base : columns_.base) base *= kPanelSamples;
}

TapTable TapTable::forward(const Conv2d& conv, const ImageShape& computed) {
  return {forward_axis(computed.height, conv.input.height, conv.kernel_height, conv),
          forward_axis(computed.width, conv.input.width, conv.kernel_width, conv),
          conv.kernel_width, conv.input.width};
}

TapTable TapTable::input_gradient(const Conv2d& conv, const ImageShape& computed) {
  return {gradient_axis(conv.input.height, computed.height, conv.kernel_height, conv),
          gradient_axis(conv.input.width, computed.width, conv.kernel_width, conv),
          conv.kernel_width, computed.width};
}

}  // namespace lockstep
