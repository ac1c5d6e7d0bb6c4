// Panels with finite leftovers wherever no sample is, and guards that nobody may write to.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "backend/fixtures.h"
#include "backend/matrix.h"
#include "backend/panel.h"

namespace lockstep::testing {

inline constexpr float kGuard = 12345.0f;

class PanelArray {
 public:
  enum class Leftovers { finite, zero };

  // Random values everywhere, lanes and features beyond the last among them; behind each panel 32
  // floats that stay kGuard.
  PanelArray(int64_t samples, int64_t features, uint32_t seed,
             Leftovers leftovers = Leftovers::finite, float deviation = 1.0f)
      : view_{nullptr, samples, features, panel_floats(features) + kPanelSamples},
        data_(normals(panels_of(samples) * view_.stride, seed, deviation)) {
    view_.data = data_.data();
    for (int64_t p = 0; p < view_.count(); ++p) {
      std::fill_n(view_.panel(p) + panel_floats(features), kPanelSamples, kGuard);
    }
    if (leftovers == Leftovers::zero) clear_lanes_without_sample();
  }
  PanelArray(const PanelArray&) = delete;

  Panels view() { return view_; }
  ConstPanels view() const { return view_; }
  float& at(int64_t sample, int64_t feature) {
    return view_.panel(sample / kPanelSamples)[feature * kPanelSamples + sample % kPanelSamples];
  }
  float at(int64_t sample, int64_t feature) const {
    return const_cast<PanelArray*>(this)->at(sample, feature);
  }

  void clear_lanes_without_sample() {
    for_each_empty_lane([](float& value) { value = 0.0f; });
  }
  void expect_empty_lanes_zero() {
    for_each_empty_lane([](float& value) { ASSERT_EQ(value, 0.0f); });
  }
  void expect_guards_whole() const {
    for (int64_t p = 0; p < view_.count(); ++p) {
      const float* guard = view_.panel(p) + panel_floats(view_.features);
      for (int64_t i = 0; i < kPanelSamples; ++i) ASSERT_EQ(guard[i], kGuard) << "panel " << p;
    }
  }

  // The values of the samples alone, sample after sample.
  std::vector<float> rows() const {
    std::vector<float> values;
    for (int64_t i = 0; i < view_.samples; ++i) {
      for (int64_t j = 0; j < view_.features; ++j) values.push_back(at(i, j));
    }
    return values;
  }

 private:
  // Lanes that are computed although they hold no sample.
  template <class Function>
  void for_each_empty_lane(const Function& function) {
    const int64_t last = view_.count() - 1;
    for (int64_t j = 0; j < view_.features; ++j) {
      for (int64_t i = view_.samples_in(last); i < view_.width(last); ++i) {
        function(view_.panel(last)[j * kPanelSamples + i]);
      }
    }
  }

  Panels view_;
  std::vector<float> data_;
};

// Row-major rows for whole panels of samples, as the steps keep them.
struct RowArray {
  RowArray(int64_t samples, int64_t features, int64_t row_stride, uint32_t seed)
      : rows(samples),
        columns(features),
        stride(row_stride),
        data(normals(panels_of(samples) * kPanelSamples * row_stride, seed)) {}
  Matrix view() { return {data.data(), rows, columns, stride}; }
  ConstMatrix view() const { return {data.data(), rows, columns, stride}; }
  float at(int64_t i, int64_t j) const { return data[i * stride + j]; }

  int64_t rows, columns, stride;
  std::vector<float> data;
};

// 1, primes, and what is one off whole and half panels.
inline const std::vector<int64_t> kSampleCounts = {1,  2,  7,  15, 16, 17, 31,
                                                   32, 33, 47, 48, 49, 61, 65};

}  // namespace lockstep::testing
