// Rounding to bf16 and the layouts, bit for bit, on every instruction set.
#include "backend/bf16_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"
#include "lockstep/buffer.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kAwkward;
using testing::normals;

constexpr Bf16 kUntouched{0x1234};

Buffer<Bf16> untouched(size_t size) {
  Buffer<Bf16> buffer(size);
  std::fill(buffer.begin(), buffer.end(), kUntouched);
  return buffer;
}

// Numbers of every exponent, ties, neighbours of ties, infinities and NaNs with every payload end.
std::vector<float> hard_numbers() {
  std::vector<float> values;
  for (uint32_t high = 0; high < 0x10000u; high += 37) {
    for (const uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      values.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  for (const uint32_t bits : {0x7F800000u, 0xFF800000u, 0x7F800001u, 0x7FFFFFFFu, 0xFFFFFFFFu,
                              0x7FC00000u, 0x7F7FFFFFu, 0x80000000u}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

TEST(Bf16, IsTheNearestWithTiesToEven) {
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3F80);
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f).bits, 0x3F80);  // a tie: down to even
  EXPECT_EQ(to_bf16(1.0f + 0x3p-8f).bits, 0x3F82);  // a tie: up to even
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3F81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80);  // rounds to infinity
  for (const float value : hard_numbers()) {
    const float rounded = to_float(to_bf16(value));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(rounded));
    } else if (std::isfinite(rounded) && std::isnormal(value)) {
      EXPECT_LE(std::fabs(rounded - value), 0x1p-9 * 2 * std::fabs(value));
    }
  }
}

void expect_rounded(const std::vector<float>& from, int64_t rows, int64_t columns, int64_t stride,
                    bool relu, int64_t first) {
  const int64_t total = first + rows;
  const PairedLayout layout{total, columns};
  Buffer<Bf16> dense = untouched(total * columns + 3), pairs = untouched(layout.size());
  const RoundedRows to{dense.data(), {layout, pairs.data()}};
  clear_rows(to.pairs, total / 2 * 2);
  round_rows({from.data(), rows, columns, stride}, relu ? Activation::relu : Activation::none, to,
             first);
  const auto expected = [&](int64_t i, int64_t j) {
    const float value = from[i * stride + j];
    return to_bf16(relu && value < 0.0f ? 0.0f : value).bits;
  };
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) {
      ASSERT_EQ(dense[(first + i) * columns + j].bits, expected(i, j)) << i << ", " << j;
      ASSERT_EQ(pairs[layout.index(first + i, j)].bits, expected(i, j)) << i << ", " << j;
    }
    for (int64_t i = total; i < layout.padded_rows(); ++i) {
      ASSERT_EQ(pairs[layout.index(i, j)].bits, 0) << "padding " << i;
    }
    for (int64_t i = 0; i < first; ++i) {
      ASSERT_EQ(pairs[layout.index(i, j)].bits, kUntouched.bits);
      ASSERT_EQ(dense[i * columns + j].bits, kUntouched.bits);
    }
  }
  for (int64_t i = 0; i < 3; ++i) ASSERT_EQ(dense[total * columns + i].bits, kUntouched.bits);
}

TEST(Bf16Ops, RowsAreRoundedIntoBothLayouts) {
  for_each_target([] {
    for (const int64_t columns : {1, 3, 15, 16, 17, 64, 65, 130}) {
      for (const int64_t rows : {1, 2, 7, 16, 31}) {
        const std::vector<float> from = normals(rows * (columns + 3), 5);
        for (const bool relu : {false, true}) {
          expect_rounded(from, rows, columns, columns + 3, relu, 0);
          expect_rounded(from, rows, columns, columns + 3, relu, 4);
        }
      }
    }
  });
}

TEST(Bf16Ops, VectorsRoundAsScalarsDo) {
  for_each_target([] {
    const std::vector<float> from = hard_numbers();
    const auto size = static_cast<int64_t>(from.size());
    Buffer<Bf16> to(size);
    round_rows({from.data(), 1, size, size}, Activation::none, {to.data(), {}}, 0);
    for (int64_t i = 0; i < size; ++i) {
      const Bf16 expected = to_bf16(from[i]);
      if (std::isnan(from[i])) {
        ASSERT_TRUE(std::isnan(to_float(to[i]))) << i;
      } else {
        ASSERT_EQ(to[i].bits, expected.bits) << from[i];
      }
    }
  });
}

TEST(Bf16Ops, ReluKeepsNotANumber) {
  for_each_target([] {
    const std::vector<float> from(5, std::numeric_limits<float>::quiet_NaN());
    Buffer<Bf16> to(5);
    round_rows({from.data(), 1, 5, 5}, Activation::relu, {to.data(), {}}, 0);
    for (const Bf16 value : to) EXPECT_TRUE(std::isnan(to_float(value)));
  });
}

TEST(Bf16Ops, WeightsAreTransposed) {
  for_each_target([] {
    for (const int64_t outputs : kAwkward) {
      for (const int64_t inputs : {1, 2, 7, 8, 9, 31, 64, 65}) {
        const std::vector<float> w = normals(outputs * inputs, 7);
        const PairedLayout layout{inputs, outputs};
        Buffer<Bf16> to(layout.size());
        round_transposed(w.data(), {layout, to.data()});
        Buffer<Bf16> expected(layout.size());
        for (int64_t o = 0; o < outputs; ++o) {
          for (int64_t k = 0; k < inputs; ++k) {
            expected[layout.index(k, o)] = to_bf16(w[o * inputs + k]);
          }
        }
        for (size_t i = 0; i < to.size(); ++i) ASSERT_EQ(to[i].bits, expected[i].bits) << i;
      }
    }
  });
}

TEST(Bf16Ops, GradientsAreTransposedInWholeBlocksOfSamples) {
  for_each_target([] {
    for (const int64_t columns : kAwkward) {
      const int64_t rows = 2 * kColumnBlock, stride = rows + 5;
      std::vector<float> from = normals(rows * columns + 3, 9);
      Buffer<Bf16> to = untouched((columns + 3) * stride);
      round_columns({from.data(), rows, columns, columns}, to.data(), stride);
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t i = 0; i < rows; ++i) {
          ASSERT_EQ(to[j * stride + i].bits, to_bf16(from[i * columns + j]).bits);
        }
        for (int64_t i = rows; i < stride; ++i) {
          ASSERT_EQ(to[j * stride + i].bits, kUntouched.bits);
        }
      }
    }
  });
}

TEST(Bf16Ops, ReluPassesGradientsWhereTheOutputIsPositive) {
  for_each_target([] {
    for (const int64_t columns : kAwkward) {
      const int64_t rows = 3, stride = columns + 2;
      const std::vector<float> outputs = normals(rows * columns, 11);
      Buffer<Bf16> y(rows * columns);
      for (size_t i = 0; i < y.size(); ++i) y[i] = to_bf16(std::max(outputs[i], 0.0f));
      const std::vector<float> before = normals(rows * stride, 12);
      std::vector<float> dy = before;
      relu_backward({dy.data(), rows, columns, stride}, y.data(), 1.25f);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < stride; ++j) {
          const float old = before[i * stride + j];
          const bool inside = j < columns;
          const float passed = inside && outputs[i * columns + j] <= 0.0f ? 0.0f : 1.25f * old;
          ASSERT_EQ(dy[i * stride + j], inside ? passed : old);
        }
      }
    }
  });
}

TEST(Bf16Ops, RowsAreAddedInOrder) {
  for_each_target([] {
    for (const int64_t columns : kAwkward) {
      const std::vector<float> dy = normals(7 * columns, 13);
      std::vector<float> sums = normals(columns, 14), expected = sums;
      for (int64_t i = 0; i < 7; ++i) {
        for (int64_t j = 0; j < columns; ++j) expected[j] += dy[i * columns + j];
      }
      add_rows({dy.data(), 7, columns, columns}, sums.data());
      EXPECT_EQ(sums, expected);
    }
  });
}

}  // namespace
}  // namespace lockstep
