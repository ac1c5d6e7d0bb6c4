// Products of bf16 operands against float64. Their operands are exact, so that what is left is the
// rounding of float32 sums.
#include "backend/gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/fixtures.h"
#include "lockstep/buffer.h"

namespace lockstep {
namespace {

using testing::normals;

// c = a b + bias with random operands.
struct Problem {
  ProductShape shape;
  PairedLayout layout;
  Buffer<Bf16> a, b;
  Buffer<float> bias, c;

  explicit Problem(const ProductShape& s)
      : shape(s), layout{s.k, s.n}, a(s.m * s.k), b(layout.size()), bias(s.n), c(s.m * s.n) {
    const std::vector<float> left = normals(a.size(), 1), right = normals(s.k * s.n, 2);
    const std::vector<float> added = normals(s.n, 3);
    for (size_t i = 0; i < a.size(); ++i) a[i] = to_bf16(left[i]);
    for (int64_t i = 0; i < s.k; ++i) {
      for (int64_t j = 0; j < s.n; ++j) b[layout.index(i, j)] = to_bf16(right[i * s.n + j]);
    }
    std::copy(added.begin(), added.end(), bias.begin());
    std::fill(c.begin(), c.end(), 1e30f);
  }

  // |error| <= 4 sqrt(terms) u sum |a b| + one rounding of the result.
  void expect_product(bool with_bias) const {
    const double u = 0x1p-24;
    for (int64_t i = 0; i < shape.m; ++i) {
      for (int64_t j = 0; j < shape.n; ++j) {
        double sum = with_bias ? bias[j] : 0.0, magnitude = std::fabs(sum);
        for (int64_t t = 0; t < shape.k; ++t) {
          const double product =
              static_cast<double>(to_float(a[i * shape.k + t])) * to_float(b[layout.index(t, j)]);
          sum += product;
          magnitude += std::fabs(product);
        }
        const double allowed =
            4 * std::sqrt(static_cast<double>(shape.k + 1)) * u * magnitude + u * std::fabs(sum);
        ASSERT_NEAR(c[i * shape.n + j], sum, allowed) << i << ", " << j;
      }
    }
  }
};

class Gemm : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!bf16_available()) GTEST_SKIP() << "this CPU has no bf16 instructions";
    set_gemm_threads(1);
  }
};

TEST_F(Gemm, ProductsMatchFloat64OverAwkwardShapes) {
  for (const int64_t m : {1, 7, 16, 33}) {
    for (const int64_t n : {1, 10, 17, 64, 130}) {
      for (const int64_t k : {1, 2, 5, 16, 61, 130}) {
        SCOPED_TRACE(::testing::Message() << "m " << m << " n " << n << " k " << k);
        Problem problem({m, k, n});
        Product(problem.shape, problem.a.data(), problem.b.data(), nullptr).run(problem.c.data());
        problem.expect_product(false);
        Product(problem.shape, problem.a.data(), problem.b.data(), problem.bias.data())
            .run(problem.c.data());
        problem.expect_product(true);
      }
    }
  }
}

TEST_F(Gemm, TheSameProductHasTheSameBitsEveryTime) {
  Problem problem({61, 784, 256});
  Product product(problem.shape, problem.a.data(), problem.b.data(), problem.bias.data());
  product.run(problem.c.data());
  const std::vector<float> first(problem.c.begin(), problem.c.end());
  for (int i = 0; i < 3; ++i) {
    product.run(problem.c.data());
    EXPECT_EQ(first, std::vector<float>(problem.c.begin(), problem.c.end()));
  }
  Product again(problem.shape, problem.a.data(), problem.b.data(), problem.bias.data());
  again.run(problem.c.data());
  EXPECT_EQ(first, std::vector<float>(problem.c.begin(), problem.c.end()));
}

TEST_F(Gemm, SeveralThreadsComputeTheSameProduct) {
  set_gemm_threads(3);
  Problem problem({61, 784, 256});
  Product(problem.shape, problem.a.data(), problem.b.data(), problem.bias.data())
      .run(problem.c.data());
  problem.expect_product(true);
  set_gemm_threads(1);
}

TEST(PairedLayout, PutsTwoRowsSideBySideInStripsOf64Columns) {
  const PairedLayout layout{33, 70};
  EXPECT_EQ(layout.padded_rows(), 64);
  EXPECT_EQ(layout.strips(), 2);
  EXPECT_EQ(layout.size(), 2 * 64 * 64);
  EXPECT_EQ(layout.index(0, 0), 0);
  EXPECT_EQ(layout.index(1, 0), 1);
  EXPECT_EQ(layout.index(0, 1), 2);
  EXPECT_EQ(layout.index(2, 0), 128);
  EXPECT_EQ(layout.index(3, 63), 128 + 127);
  EXPECT_EQ(layout.index(0, 64), 64 * 64);
}

}  // namespace
}  // namespace lockstep
