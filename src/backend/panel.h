// Activations in panels: 32 samples side by side.
//
// Panel p of a layer's activations holds samples [32 p, 32 p + 32) as [features][32 samples], so
// that a vector holds one feature of neighbouring samples. A linear layer then reads its weights
// where they are, row by row, one broadcast a weight, and neither operand is ever packed; a batch
// of 32 passes over the weights once. Lanes beyond the last sample hold finite leftovers in
// activations and zeros in gradients.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lockstep {

inline constexpr int64_t kPanelSamples = 32;

constexpr int64_t panels_of(int64_t samples) {
  return (samples + kPanelSamples - 1) / kPanelSamples;
}

// Features of a panel are allocated in fours, which transposition moves together.
constexpr int64_t panel_floats(int64_t features) {
  return (features + 3) / 4 * 4 * kPanelSamples;
}

// `samples` samples of `features` features; consecutive panels `stride` floats apart.
template <class T>
struct PanelsView {
  T* data = nullptr;
  int64_t samples = 0;
  int64_t features = 0;
  int64_t stride = 0;

  int64_t count() const { return panels_of(samples); }
  T* panel(int64_t p) const { return data + p * stride; }
  int64_t samples_in(int64_t p) const {
    return std::min(kPanelSamples, samples - p * kPanelSamples);
  }
  // Lanes that are computed: half a panel where the other half holds no sample.
  int64_t width(int64_t p) const {
    return samples_in(p) <= kPanelSamples / 2 ? kPanelSamples / 2 : kPanelSamples;
  }
  // NOLINTNEXTLINE(google-explicit-constructor): a view to read is a view, as with std::span.
  operator PanelsView<const T>() const { return {data, samples, features, stride}; }
};

using Panels = PanelsView<float>;
using ConstPanels = PanelsView<const float>;

}  // namespace lockstep
