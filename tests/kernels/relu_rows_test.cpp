#include "kernels/relu_rows.h"

#include <cmath>
#include <limits>

#include "kernels/linear_fixtures.h"

namespace lockstep::test {
namespace {

using ReluRowsTest = DeviceTest;

constexpr LinearSizes kSizes[] = {{1, 1, 0}, {7, 5, 0}, {8, 128, 0}, {19, 131, 0}, {3, 300, 0}};

struct Dropped {
  DropoutKey key;
  std::vector<std::int64_t> samples;

  explicit Dropped(int rows) : key(dropout_key(11, 3, 6, 0.3)) {
    for (int i = 0; i < rows; ++i) samples.push_back(7 * i + 2);
  }
  DropoutMask mask() const { return mask_on_device(key, samples); }
};

TestRows relu(TestRows rows) {
  for (int i = 0; i < rows.rows; ++i) {
    for (int j = 0; j < rows.columns; ++j) rows.at(i, j) = std::max(rows.at(i, j), 0.0F);
  }
  return rows;
}

void expect_equal(const TestRows& actual, const TestRows& expected) {
  for (int i = 0; i < expected.rows; ++i) {
    for (int j = 0; j < expected.columns; ++j) {
      ASSERT_EQ(actual.at(i, j), expected.at(i, j)) << i << ", " << j;
    }
  }
}

TEST_F(ReluRowsTest, forward_is_relu_and_the_cpus_dropout) {
  for (const LinearSizes& sizes : kSizes) {
    for (const Spacing& spacing : kSpacings) {
      testing::renew_device();
      SCOPED_TRACE(to_string(sizes));
      const TestRows values = random_rows(sizes.batch, sizes.inputs, spacing, 1);
      TestRows expected = relu(values);
      const DeviceRows<float> plain = on_device(values), dropped = on_device(values);
      relu_rows({}, plain, sizes.batch, sizes.inputs, new_stream());
      expect_equal(from_device(plain, values), expected);

      const Dropped dropout(sizes.batch);
      relu_rows(dropout.mask(), dropped, sizes.batch, sizes.inputs, new_stream());
      drop_on_cpu(dropout.key, dropout.samples, expected);
      expect_equal(from_device(dropped, values), expected);
    }
  }
}

TEST_F(ReluRowsTest, backward_passes_what_forward_kept) {
  for (const LinearSizes& sizes : kSizes) {
    for (const Spacing& spacing : kSpacings) {
      testing::renew_device();
      SCOPED_TRACE(to_string(sizes));
      const Dropped dropout(sizes.batch);
      TestRows x = relu(random_rows(sizes.batch, sizes.inputs, spacing, 1));
      drop_on_cpu(dropout.key, dropout.samples, x);
      const TestRows dx = random_rows(sizes.batch, sizes.inputs, spacing, 2);
      for (const bool mask : {false, true}) {
        TestRows expected = dx;
        const float scale = mask ? dropout.key.keep_scale : 1.0F;
        for (int i = 0; i < x.rows; ++i) {
          for (int j = 0; j < x.columns; ++j) {
            expected.at(i, j) = x.at(i, j) > 0 ? scale * dx.at(i, j) : 0;
          }
        }
        const DeviceRows<float> result = on_device(dx);
        relu_backward_rows(mask ? dropout.mask() : DropoutMask{}, input_on_device(x), result,
                           sizes.batch, sizes.inputs, new_stream());
        expect_equal(from_device(result, dx), expected);
      }
    }
  }
}

TEST_F(ReluRowsTest, not_a_number_stays_one) {
  const std::vector<float> values = {std::numeric_limits<float>::quiet_NaN(), -1, 2};
  float* device = on_device(values);
  relu_rows({}, {device, 3}, 1, 3, new_stream());
  const std::vector<float> result = from_device(device, 3);
  EXPECT_TRUE(std::isnan(result[0]));
  EXPECT_EQ(result[1], 0);
  EXPECT_EQ(result[2], 2);
}

TEST_F(ReluRowsTest, no_rows_are_left_alone) {
  float* device = on_device(std::vector<float>{-1, -2});
  relu_rows({}, {device, 2}, 0, 2, new_stream());
  relu_backward_rows({}, {device, 2}, {device, 2}, 0, 2, new_stream());
  EXPECT_EQ(from_device(device, 2), (std::vector<float>{-1, -2}));
}

}  // namespace
}  // namespace lockstep::test
