#include "backend/gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/fixtures.h"

namespace lockstep {
namespace {

using testing::normals;

// |error| <= 4 sqrt(K) u sum |a b| + one rounding of the result.
double allowed(int64_t terms, double magnitude, double result) {
  const double u = 0x1p-24;
  return 4 * std::sqrt(static_cast<double>(std::max<int64_t>(terms, 1))) * u * magnitude +
         u * std::fabs(result);
}

struct Operand {
  int64_t rows, columns, stride;
  std::vector<float> data;
  Operand(int64_t r, int64_t c, uint32_t seed)
      : rows(r), columns(c), stride(c + 3), data(normals(r * stride, seed)) {}
  ConstMatrix view() const { return {data.data(), rows, columns, stride}; }
  Matrix mutable_view() { return {data.data(), rows, columns, stride}; }
  float at(int64_t i, int64_t j) const { return data[i * stride + j]; }
};

template <class Left, class Right>
void expect_product(const Operand& result, int64_t terms, Left left, Right right) {
  for (int64_t i = 0; i < result.rows; ++i) {
    for (int64_t j = 0; j < result.columns; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t k = 0; k < terms; ++k) {
        const double product = static_cast<double>(left(i, k)) * right(k, j);
        sum += product;
        magnitude += std::fabs(product);
      }
      ASSERT_NEAR(result.at(i, j), sum, allowed(terms, magnitude, sum)) << i << ", " << j;
    }
  }
}

TEST(Gemm, ThreeFormsMatchFloat64OverAwkwardShapes) {
  for (const int64_t m : {1, 7, 16, 33}) {
    for (const int64_t n : {1, 10, 17, 64}) {
      for (const int64_t k : {1, 5, 16, 61, 130}) {
        SCOPED_TRACE(::testing::Message() << "m " << m << " n " << n << " k " << k);
        const Operand x(m, k, 1), w(n, k, 2), dy(m, n, 3);
        Operand y(m, n, 4), dx(m, k, 5), dw(n, k, 6);
        multiply_transposed(x.view(), w.view(), y.mutable_view());
        expect_product(
            y, k, [&](auto i, auto t) { return x.at(i, t); },
            [&](auto t, auto j) { return w.at(j, t); });
        multiply(dy.view(), w.view(), dx.mutable_view());
        expect_product(
            dx, n, [&](auto i, auto t) { return dy.at(i, t); },
            [&](auto t, auto j) { return w.at(t, j); });
        multiply_left_transposed(dy.view(), x.view(), dw.mutable_view());
        expect_product(
            dw, m, [&](auto i, auto t) { return dy.at(t, i); },
            [&](auto t, auto j) { return x.at(t, j); });
      }
    }
  }
}

TEST(Gemm, SlabsOfTheWeightGradientHaveTheBitsOfTheWhole) {
  const int64_t m = 61, n = 48, k = 130;
  const Operand x(m, k, 1), dy(m, n, 3);
  Operand whole(n, k, 6), slabs(n, k, 6);
  multiply_left_transposed(dy.view(), x.view(), whole.mutable_view());
  for (int64_t begin = 0; begin < n; begin += 11) {
    const int64_t end = std::min(begin + 11, n);
    multiply_left_transposed(
        {dy.data.data() + begin, m, end - begin, dy.stride}, x.view(),
        {slabs.data.data() + begin * slabs.stride, end - begin, k, slabs.stride});
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) ASSERT_EQ(slabs.at(i, j), whole.at(i, j));
  }
}

TEST(Gemm, AWeightGradientOverNoSamplesIsZero) {
  Operand dw(5, 7, 1);
  multiply_left_transposed({nullptr, 0, 5, 5}, {nullptr, 0, 7, 7}, dw.mutable_view());
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 7; ++j) EXPECT_EQ(dw.at(i, j), 0.0f);
  }
}

}  // namespace
}  // namespace lockstep
