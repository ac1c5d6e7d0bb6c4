#include "backend/panel_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/panel_fixtures.h"
#include "backend/panel_gemm.h"
#include "backend/panel_loss.h"
#include "backend/simd_targets.h"
#include "reference/network.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kGuard;
using testing::kSampleCounts;
using testing::PanelArray;
using testing::RowArray;
using testing::Samples;
using testing::scattered;

constexpr uint64_t kSeed = 0x123456789abcdefull;
constexpr int kLayer = 3;
constexpr uint32_t kEpoch = 7;
constexpr double kDrop = 0.3;
const std::vector<int64_t> kFeatures = {1, 2, 3, 4, 5, 7, 16, 31, 37};

TEST(PanelOps, RowsBecomePanelsExactly) {
  for (const int64_t samples : kSampleCounts) {
    for (const int64_t features : kFeatures) {
      RowArray rows(samples, features, spread_stride(features), 1);
      for_each_target([&] {
        PanelArray panels(samples, features, 2);
        const PanelArray before(samples, features, 2);
        rows_to_panels(rows.view(), panels.view());
        for (int64_t i = 0; i < panels_of(samples) * kPanelSamples; ++i) {
          const int64_t p = i / kPanelSamples;
          const bool moved = i % kPanelSamples < panels.view().width(p);
          for (int64_t j = 0; j < features; ++j) {
            ASSERT_EQ(panels.at(i, j), moved ? rows.at(i, j) : before.at(i, j))
                << samples << " samples, sample " << i << ", feature " << j;
          }
        }
        panels.expect_guards_whole();
      });
    }
  }
}

struct End {
  Activation activation;
  double p;
  LayerEnd key() const {
    LayerEnd end{activation, {}};
    if (p > 0.0) end.dropout = dropout_key(kSeed, kLayer, kEpoch, p);
    return end;
  }
  float keep_scale() const { return p > 0.0 ? static_cast<float>(1.0 / (1.0 - p)) : 1.0f; }
  bool keeps(const Batch& batch, int64_t i, int64_t unit) const {
    return p == 0.0 || reference::kept(kSeed, kLayer, kEpoch, batch.sample(i), unit, p);
  }
};

const std::vector<End> kEnds = {{Activation::none, 0.0},
                                {Activation::relu, 0.0},
                                {Activation::none, kDrop},
                                {Activation::relu, kDrop}};

template <class Body>
void for_each_end(const Body& body) {
  const Samples data(FeatureType::float32, 101, 1, 2);
  for (const int64_t samples : kSampleCounts) {
    const std::vector<int64_t> picked = scattered(samples, 101);
    const Batch batch = data.pick(picked, kEpoch);
    for (const int64_t features : kFeatures) {
      for (const End& end : kEnds) {
        SCOPED_TRACE(::testing::Message() << samples << " samples, " << features << " features, "
                                          << (end.activation == Activation::relu ? "relu" : "none")
                                          << ", dropout " << end.p);
        body(end, batch, features);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(PanelOps, ALayersEndIsActivationThenTheScalarGeneratorsDropout) {
  for_each_end([](const End& end, const Batch& batch, int64_t features) {
    const int64_t samples = batch.size();
    const PanelArray before(samples, features, 3);
    for_each_target([&] {
      PanelArray y(samples, features, 3);
      RowArray rows(samples, features, spread_stride(features), 4);
      finish_layer(end.key(), batch, y.view(), rows.view());
      for (int64_t i = 0; i < samples; ++i) {
        for (int64_t u = 0; u < features; ++u) {
          const float x = before.at(i, u);
          const float active = end.activation == Activation::relu && x < 0.0f ? 0.0f : x;
          const float expected = end.keeps(batch, i, u) ? active * end.keep_scale() : 0.0f;
          ASSERT_EQ(y.at(i, u), expected) << i << ", " << u;
          ASSERT_EQ(rows.at(i, u), expected) << "row-major copy " << i << ", " << u;
        }
      }
      y.expect_guards_whole();
    });
  });
}

TEST(PanelOps, ALayersEndGoesBackThroughTheUnitsThatPassed) {
  for_each_end([](const End& end, const Batch& batch, int64_t features) {
    const int64_t samples = batch.size();
    const PanelArray dy_before(samples, features, 5, PanelArray::Leftovers::zero);
    for_each_target([&] {
      PanelArray y(samples, features, 3);
      const PanelArray y_before(samples, features, 3);
      finish_layer(end.key(), batch, y.view(), {});
      PanelArray dy(samples, features, 5, PanelArray::Leftovers::zero);
      finish_layer_backward(end.key(), batch, y.view(), dy.view());
      for (int64_t i = 0; i < samples; ++i) {
        for (int64_t u = 0; u < features; ++u) {
          const bool active = end.activation == Activation::none || y_before.at(i, u) > 0.0f;
          const bool passed = active && end.keeps(batch, i, u);
          ASSERT_EQ(dy.at(i, u), passed ? dy_before.at(i, u) * end.keep_scale() : 0.0f)
              << i << ", " << u;
        }
      }
      dy.expect_guards_whole();
      dy.expect_empty_lanes_zero();
    });
  });
}

TEST(PanelOps, ReluLetsNotANumberPass) {
  const Samples data(FeatureType::float32, 3, 1, 2);
  for_each_target([&] {
    PanelArray y(3, 5, 1);
    y.at(1, 2) = std::numeric_limits<float>::quiet_NaN();
    finish_layer({Activation::relu, {}}, data.range(0, 3), y.view(), {});
    EXPECT_TRUE(std::isnan(y.at(1, 2)));
  });
}

TEST(PanelOps, SamplesBeyondThirtyTwoBitsHaveTheirOwnMasks) {
  const std::vector<int64_t> picked = {int64_t{1} << 33, (int64_t{1} << 33) + 1, 0};
  Batch batch;
  batch.samples = picked;
  batch.epoch = kEpoch;
  const End end{Activation::none, kDrop};
  for_each_target([&] {
    PanelArray y(3, 61, 1);
    finish_layer(end.key(), batch, y.view(), {});
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t u = 0; u < 61; ++u) ASSERT_EQ(y.at(i, u) != 0.0f, end.keeps(batch, i, u));
    }
  });
}

// Loss, input gradient, layer's end: what a backward pass writes, with leftovers in all that it
// reads but zeros where the contract says so.
TEST(PanelOps, GradientsOfLanesWithoutASampleStayZeroThroughABackwardPass) {
  const int64_t classes = 5, hidden = 13;
  const std::vector<float> weight = testing::normals(classes * hidden, 1);
  const std::vector<float> bias(classes);
  for (const int64_t samples : kSampleCounts) {
    const Samples data(FeatureType::float32, samples, 1, classes);
    const Batch batch = data.range(0, samples, kEpoch);
    for_each_target([&] {
      PanelArray logits(samples, classes, 2), y(samples, hidden, 3), dx(samples, hidden, 4);
      const End end{Activation::relu, kDrop};
      finish_layer(end.key(), batch, y.view(), {});
      panel_loss_backward(Loss::softmax_cross_entropy, batch, logits.view());
      logits.expect_empty_lanes_zero();
      panel_input_gradient({weight.data(), bias.data(), classes, hidden}, logits.view(), dx.view());
      finish_layer_backward(end.key(), batch, y.view(), dx.view());
      dx.expect_empty_lanes_zero();
    });
  }
}

}  // namespace
}  // namespace lockstep
