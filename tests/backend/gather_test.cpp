#include "backend/gather.h"

#include <gtest/gtest.h>

#include <array>
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

TEST(Gather, MovesImagesAsTheOracleDoes) {
  const ImageShape image{3, 5, 7};
  for (const FeatureType type : {FeatureType::float32, FeatureType::uint8}) {
    const Samples samples(type, 40, image.size(), 2);
    for (const Augmentation& augmentation :
         {Augmentation{9, image, 0, true}, Augmentation{9, image, 2, false},
          Augmentation{9, image, 9, true}}) {
      Batch batch = samples.range(1, 39, 5);
      batch.augmentation = &augmentation;
      expect_gathered(batch, Normalization{});
      expect_gathered(batch, testing::per_feature(image.size(), 0.02f));
    }
  }
}

TEST(Gather, MovesDependOnEpochAndSampleAndReachBothEnds) {
  const Augmentation augmentation{9, {3, 32, 32}, 4, true};
  int mirrored = 0;
  std::array<int, 9> down{}, right{};
  for (uint64_t sample = 0; sample < 9000; ++sample) {
    const ImageMove move = augmentation.move(2, sample);
    mirrored += move.mirrored;
    ++down.at(move.dy + 4);
    ++right.at(move.dx + 4);
  }
  EXPECT_NEAR(mirrored, 4500, 200);
  for (int i = 0; i < 9; ++i) {
    EXPECT_NEAR(down[i], 1000, 120) << i;
    EXPECT_NEAR(right[i], 1000, 120) << i;
  }
  int same = 0;
  for (uint64_t sample = 0; sample < 100; ++sample) {
    const ImageMove a = augmentation.move(1, sample), b = augmentation.move(2, sample);
    same += a.dy == b.dy && a.dx == b.dx && a.mirrored == b.mirrored;
  }
  EXPECT_LT(same, 10);
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
