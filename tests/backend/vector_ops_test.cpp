#include "backend/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kAwkward;
using testing::normals;

TEST(VectorOps, MatchScalarLoopsAtEveryLength) {
  for_each_target([] {
    for (const size_t size : kAwkward) {
      const std::vector<float> a = normals(size, 1), b = normals(size, 2);
      std::vector<float> sum = a, product = a, combined = a;
      add(sum, b);
      scale(product, 0.7f);
      axpy(combined, 1.5f, b);
      for (size_t i = 0; i < size; ++i) {
        EXPECT_EQ(sum[i], a[i] + b[i]);
        EXPECT_EQ(product[i], 0.7f * a[i]);
        EXPECT_NEAR(combined[i], std::fma(1.5f, b[i], a[i]), 1e-6);
      }
    }
  });
}

// (1e8 + 1) - 1e8 is 0 in float32, (1e8 - 1e8) + 1 is 1: only the left fold gives the expected one.
TEST(VectorOps, SumIsTheLeftFold) {
  for_each_target([] {
    for (const size_t size : kAwkward) {
      const std::vector<float> big(size, 1e8f), one(size, 1.0f), minus(size, -1e8f);
      std::vector<float> out(size, 9.0f);
      const float* first[] = {big.data(), one.data(), minus.data()};
      sum_in_order(out, first);
      for (const float value : out) EXPECT_EQ(value, 0.0f);
      const float* second[] = {big.data(), minus.data(), one.data()};
      sum_in_order(out, second);
      for (const float value : out) EXPECT_EQ(value, 1.0f);
    }
  });
}

TEST(VectorOps, SumMayOverwriteASource) {
  for_each_target([] {
    std::vector<float> a = normals(61, 1), b = normals(61, 2), c = normals(61, 3);
    const std::vector<float> kept = b;
    const float* sources[] = {a.data(), b.data(), c.data()};
    sum_in_order(b, sources);
    for (size_t i = 0; i < b.size(); ++i) EXPECT_EQ(b[i], (a[i] + kept[i]) + c[i]);
  });
}

TEST(VectorOps, SumOfNothingIsZero) {
  std::vector<float> out(5, 3.0f);
  sum_in_order(out, {});
  for (const float value : out) EXPECT_EQ(value, 0.0f);
}

TEST(VectorOps, WeightedSumAverages) {
  for_each_target([] {
    for (const size_t size : kAwkward) {
      const std::vector<float> a = normals(size, 1), b = normals(size, 2);
      std::vector<float> out(size);
      const float* sources[] = {a.data(), b.data()};
      const float weights[] = {0.25f, 0.75f};
      weighted_sum(out, sources, weights);
      for (size_t i = 0; i < size; ++i) EXPECT_NEAR(out[i], 0.25f * a[i] + 0.75f * b[i], 1e-6);
    }
  });
}

// Slices of other workers begin elsewhere: the bits may not know.
TEST(VectorOps, CuttingARangeElsewhereChangesNoBits) {
  for_each_target([] {
    const std::vector<float> a = normals(128, 1), b = normals(128, 2);
    std::vector<float> whole = a;
    axpy(whole, 0.3f, b);
    for (const size_t cut : {size_t{1}, size_t{13}, size_t{32}, size_t{77}}) {
      std::vector<float> parts = a;
      axpy(std::span(parts).first(cut), 0.3f, std::span(b).first(cut));
      axpy(std::span(parts).subspan(cut), 0.3f, std::span(b).subspan(cut));
      EXPECT_EQ(parts, whole) << "cut at " << cut;
    }
  });
}

}  // namespace
}  // namespace lockstep
