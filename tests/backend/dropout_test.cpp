#include "backend/dropout.h"

#include <gtest/gtest.h>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"
#include "reference/network.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kAwkward;
using testing::Samples;

TEST(Dropout, KeepsExactlyTheUnitsOfTheScalarGenerator) {
  const Samples samples(FeatureType::float32, 40, 1, 2);
  const std::vector<int64_t> picked = testing::scattered(9, 40);
  const Batch batch = samples.pick(picked, 5);
  for_each_target([&] {
    for (const int64_t columns : kAwkward) {
      const int64_t stride = columns + 2;
      std::vector<float> values(9 * stride, 3.0f);
      const DropoutKey key = dropout_key(0x123456789abcdefull, 4, batch.epoch, 0.3);
      apply_dropout(key, batch, {values.data(), 9, columns, stride});
      for (int64_t i = 0; i < 9; ++i) {
        for (int64_t u = 0; u < columns; ++u) {
          const bool kept = reference::kept(0x123456789abcdefull, 4, 5, batch.sample(i), u, 0.3);
          ASSERT_EQ(values[i * stride + u], kept ? 3.0f * key.keep_scale : 0.0f) << i << " " << u;
        }
        ASSERT_EQ(values[i * stride + columns], 3.0f);
      }
    }
  });
}

TEST(Dropout, SamplesBeyondThirtyTwoBitsHaveTheirOwnMasks) {
  Batch batch;
  const std::vector<int64_t> picked = {int64_t{1} << 33, (int64_t{1} << 33) + 1, 0};
  batch.samples = picked;
  std::vector<float> values(3 * 64, 1.0f);
  const DropoutKey key = dropout_key(9, 1, 0, 0.5);
  apply_dropout(key, batch, {values.data(), 3, 64, 64});
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t u = 0; u < 64; ++u) {
      EXPECT_EQ(values[i * 64 + u] != 0.0f, reference::kept(9, 1, 0, picked[i], u, 0.5));
    }
  }
}

TEST(Dropout, DropsTheStatedFraction) {
  const Samples samples(FeatureType::float32, 200, 1, 2);
  std::vector<float> values(200 * 512, 1.0f);
  apply_dropout(dropout_key(1, 1, 0, 0.2), samples.range(0, 200), {values.data(), 200, 512, 512});
  const auto dropped = std::count(values.begin(), values.end(), 0.0f);
  EXPECT_NEAR(static_cast<double>(dropped) / values.size(), 0.2, 0.006);
}

}  // namespace
}  // namespace lockstep
