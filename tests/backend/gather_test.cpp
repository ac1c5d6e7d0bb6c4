#include "backend/gather.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"
#include "reference/network.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kAwkward;
using testing::Samples;
using testing::scattered;

void expect_gathered(const Batch& batch, const Normalization& normalization) {
  const int64_t columns = batch.data->features.columns, stride = columns + 3;
  const FeatureScaling scaling(normalization, columns);
  std::vector<float> rows(batch.size() * stride, 77.0f);
  gather(batch, scaling, rows.data(), stride);
  const reference::Table expected = reference::decode(batch, normalization);
  for (int64_t i = 0; i < batch.size(); ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const double x = expected.at(i, j);
      ASSERT_NEAR(rows[i * stride + j], x, 1e-6 * std::fabs(x) + 1e-6) << i << ", " << j;
    }
    for (int64_t j = columns; j < stride; ++j) ASSERT_EQ(rows[i * stride + j], 77.0f);
  }
}

TEST(Gather, ReadsNormalisedRowsOfBothTypesInEitherOrder) {
  for_each_target([] {
    for (const int64_t columns : kAwkward) {
      for (const FeatureType type :
           {FeatureType::float32, FeatureType::uint8, FeatureType::bfloat16}) {
        const Samples samples(type, 19, columns, 2);
        const std::vector<int64_t> picked = scattered(11, 19);
        for (const Normalization& normalization :
             {Normalization{}, testing::unit_scaling(), testing::per_feature(columns, 0.02f)}) {
          expect_gathered(samples.range(4, 17), normalization);
          expect_gathered(samples.pick(picked), normalization);
        }
      }
    }
  });
}

TEST(Gather, NothingIsWrittenForAnEmptyBatch) {
  const Samples samples(FeatureType::float32, 3, 5, 2);
  gather(samples.range(1, 1), FeatureScaling({}, 5), nullptr, 5);
  gather(samples.pick({}), FeatureScaling({}, 5), nullptr, 5);
}

TEST(Gather, PartsCoverTheBatchInOrder) {
  const Samples samples(FeatureType::float32, 23, 2, 2);
  const std::vector<int64_t> picked = scattered(17, 23);
  for (const int parts : {1, 2, 3, 7, 20}) {
    std::vector<int64_t> from_indices, from_range;
    for (int i = 0; i < parts; ++i) {
      const Batch part = part_of(samples.pick(picked), i, parts);
      for (int64_t k = 0; k < part.size(); ++k) from_indices.push_back(part.sample(k));
      const Batch range = part_of(samples.range(3, 20), i, parts);
      for (int64_t k = 0; k < range.size(); ++k) from_range.push_back(range.sample(k));
    }
    EXPECT_EQ(from_indices, picked);
    ASSERT_EQ(from_range.size(), 17u);
    for (int64_t k = 0; k < 17; ++k) EXPECT_EQ(from_range[k], 3 + k);
  }
}

}  // namespace
}  // namespace lockstep
