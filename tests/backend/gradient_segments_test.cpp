// What each bucket of gradients waits for.
#include "backend/gradient_segments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "comm/bucket_plan.h"

namespace lockstep {
namespace {

constexpr double kAll = std::numeric_limits<double>::infinity();

Model mlp(int64_t inputs, std::vector<int64_t> widths) {
  Model model;
  model.inputs = inputs;
  for (const int64_t width : widths) {
    model.layers.push_back(Linear{inputs, width});
    inputs = width;
  }
  model.classes = static_cast<int>(widths.back());
  return model;
}

// Each float of the buffer once; each bucket's floats are those of its slabs or of earlier ones.
void expect_sound(const ParameterLayout& layout, const std::vector<GradientSegment>& segments) {
  std::vector<int> computed(layout.size()), sent(layout.size());
  for (const TensorSpec& tensor : layout.tensors()) {  // padding is always final
    std::fill(computed.begin() + tensor.offset + tensor.size, computed.begin() + tensor.range().end,
              1);
  }
  for (const GradientSegment& segment : segments) {
    for (const UnitSlab& slab : segment.slabs) {
      const TensorSpec& weight = layout.weight(slab.layer);
      const TensorSpec& bias = layout.bias(slab.layer);
      for (int64_t unit = slab.first_unit; unit < slab.first_unit + slab.units; ++unit) {
        for (int64_t i = 0; i < weight.columns(); ++i) {
          ++computed[weight.offset + unit * weight.columns() + i];
        }
        ++computed[bias.offset + unit];
      }
    }
    for (const Range& range : segment.ranges) {
      EXPECT_EQ(range.begin % kPadFloats, 0U);
      for (size_t i = range.begin; i < range.end; ++i) {
        ++sent[i];
        EXPECT_EQ(computed[i], 1) << "float " << i << " left before it was computed, or again";
      }
    }
  }
  EXPECT_EQ(std::ranges::count(computed, 1), static_cast<long>(layout.size()));
  EXPECT_EQ(std::ranges::count(sent, 1), static_cast<long>(layout.size()));
}

TEST(GradientSegments, EveryGradientLeavesOnceAndNotBeforeItIsComputed) {
  for (const auto& [inputs, widths] : std::vector<std::pair<int64_t, std::vector<int64_t>>>{
           {13, {17, 9, 4}}, {784, {256, 128, 10}}, {5, {3}}, {1, {1000, 2}}, {64, {64, 64, 64}}}) {
    const ParameterLayout layout(mlp(inputs, widths));
    for (const double bytes : {0.0, 128.0, 1000.0, 4096.0, 65536.0, 3e5, kAll}) {
      for (const Slabs slabs : {Slabs::allowed, Slabs::whole_layers}) {
        for (const int64_t tile : {1, 32}) {
          SCOPED_TRACE(std::to_string(inputs) + " inputs, buckets of " + std::to_string(bytes));
          expect_sound(layout, plan_segments(layout, plan_buckets(layout, bytes), slabs, tile));
        }
      }
    }
  }
}

// 784-256: its gradient is computed in five parts, and only the last bucket waits for all of it.
TEST(GradientSegments, ALargeLayerLeavesInSlabs) {
  const ParameterLayout layout(mlp(784, {256, 128, 10}));
  const auto segments = plan_segments(layout, plan_buckets(layout, 200'000), Slabs::allowed, 32);
  ASSERT_EQ(segments.size(), 5U);
  for (const GradientSegment& segment : segments) EXPECT_FALSE(segment.slabs.empty());
  EXPECT_EQ(segments[0].slabs.back().layer, 0) << "the first bucket reaches into the first layer";
  EXPECT_GT(segments[0].slabs.back().first_unit, 128);
  EXPECT_EQ(segments[4].slabs.back().first_unit, 0);
  for (const GradientSegment& segment : segments) {
    for (const UnitSlab& slab : segment.slabs) {
      if (slab.layer == 0) {
        EXPECT_EQ(slab.first_unit % 32, 0);
      }
    }
  }
}

TEST(GradientSegments, WholeLayersAreNotCut) {
  const ParameterLayout layout(mlp(784, {256, 128, 10}));
  size_t slabs = 0;
  for (const GradientSegment& segment :
       plan_segments(layout, plan_buckets(layout, 65536), Slabs::whole_layers, 32)) {
    slabs += segment.slabs.size();
  }
  EXPECT_EQ(slabs, 3U);
}

}  // namespace
}  // namespace lockstep
