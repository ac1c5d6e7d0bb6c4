// What the steps' comparison with the oracle (step_test.cpp) does not see of convolutions on
// panels.
#include "backend/panel_conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "backend/simd_targets.h"

namespace lockstep {
namespace {

using testing::for_each_target;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kLanesOfPanel = kPanelSamples;

// Lane i of pixel p of the only plane.
float& at(Buffer<float>& panel, int64_t p, int64_t i) {
  return panel[p * kLanesOfPanel + i];
}

// A 1 x 1 convolution that copies, in front of a 2 x 2 max pooling.
struct Copy {
  Conv2d conv{{1, 2, 2}, 1, 1, 1, 1, 0, Activation::relu};
  ConvOutputs outputs{conv, conv.output(), 2};
  TapTable taps = TapTable::forward(conv, conv.output());
  PackedWeights weights{conv};
  Buffer<float> x{4 * kLanesOfPanel}, y{kLanesOfPanel};
  Buffer<uint8_t> chosen{kLanesOfPanel};

  void run() {
    const float one = 1.0f, zero = 0.0f;
    weights.pack_forward(&one);
    panel_conv_forward(outputs, taps, weights, &zero, x.data(), kLanesOfPanel, y.data(),
                       chosen.data());
  }
};

TEST(PanelConv, ANanInAWindowIsItsLargestWhereverItStands) {
  for_each_target([] {
    for (int64_t place = 0; place < 4; ++place) {
      Copy copy;
      for (int64_t p = 0; p < 4; ++p) {
        for (int64_t i = 0; i < kLanesOfPanel; ++i) at(copy.x, p, i) = static_cast<float>(p + 1);
      }
      at(copy.x, place, 3) = kNaN;
      copy.run();
      EXPECT_TRUE(std::isnan(copy.y[3])) << place;
      EXPECT_EQ(copy.chosen[3], place);
      EXPECT_EQ(copy.y[4], 4.0f);
      EXPECT_EQ(copy.chosen[4], 3);
      const Pool2d pool{PoolKind::max, {1, 2, 2}, 2, 2};
      panel_pool_forward(pool, copy.x.data(), kLanesOfPanel, copy.y.data());
      EXPECT_TRUE(std::isnan(copy.y[3])) << place;
      EXPECT_EQ(copy.y[4], 4.0f);
    }
  });
}

TEST(PanelConv, OfEqualValuesTheFirstReceivesTheGradient) {
  for_each_target([] {
    Copy copy;
    for (int64_t p = 0; p < 4; ++p) at(copy.x, p, 0) = p == 0 ? 1.0f : 2.0f;
    copy.run();
    EXPECT_EQ(copy.chosen[0], 1);
    Buffer<float> dy(kLanesOfPanel), dx(4 * kLanesOfPanel);
    dy[0] = 5.0f;
    pooled_gradient(copy.outputs, dy.data(), copy.chosen.data(), kLanesOfPanel, 0, 2, dx.data());
    EXPECT_EQ((std::vector<float>{at(dx, 0, 0), at(dx, 1, 0), at(dx, 2, 0), at(dx, 3, 0)}),
              (std::vector<float>{0, 5, 0, 0}));
    const Pool2d pool{PoolKind::max, {1, 2, 2}, 2, 2};
    panel_pool_backward(pool, copy.x.data(), dy.data(), kLanesOfPanel, dx.data());
    EXPECT_EQ((std::vector<float>{at(dx, 0, 0), at(dx, 1, 0), at(dx, 2, 0), at(dx, 3, 0)}),
              (std::vector<float>{0, 5, 0, 0}));
  });
}

// Products are left out at the edges, not multiplied by zeros: what lies beyond cannot matter, and
// an infinite weight there makes no NaN.
TEST(PanelConv, TapsStayInsideTheImage) {
  for (const Conv2d& conv : {Conv2d{{1, 5, 7}, 1, 3, 3, 1, 2}, Conv2d{{1, 6, 6}, 1, 4, 2, 2, 1},
                             Conv2d{{1, 3, 3}, 1, 3, 3, 3, 0}}) {
    const ImageShape output = conv.output();
    const TapTable forward = TapTable::forward(conv, output);
    const TapTable backward = TapTable::input_gradient(conv, output);
    int64_t products = 0, back = 0;
    for (int64_t y = 0; y < forward.height(); ++y) {
      for (int64_t x = 0; x < forward.width(); ++x) {
        for (const Tap& tap : forward.taps(y, x)) {
          const int64_t pixel = (forward.base(y, x) + tap.value) / kLanesOfPanel;
          EXPECT_GE(forward.base(y, x) + tap.value, 0);
          EXPECT_LT(pixel, conv.input.pixels());
          ++products;
        }
      }
    }
    for (int64_t y = 0; y < backward.height(); ++y) {
      for (int64_t x = 0; x < backward.width(); ++x) {
        for (const Tap& tap : backward.taps(y, x)) {
          EXPECT_GE(backward.base(y, x) + tap.value, 0);
          EXPECT_LT((backward.base(y, x) + tap.value) / kLanesOfPanel, output.pixels());
          ++back;
        }
      }
    }
    EXPECT_EQ(products, back) << "each product goes one way as often as the other";
  }
}

}  // namespace
}  // namespace lockstep
