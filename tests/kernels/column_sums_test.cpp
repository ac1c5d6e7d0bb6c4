#include "kernels/column_sums.h"

#include "kernels/linear_fixtures.h"

namespace lockstep::test {
namespace {

using ColumnSumsTest = DeviceTest;

std::vector<float> sums_of(const TestRows& values) {
  float* sums = on_device(std::vector<float>(values.columns, -7));
  column_sums(input_on_device(values), values.rows, values.columns, sums,
              workspace(column_sums_workspace(values.rows, values.columns)), new_stream());
  return from_device(sums, values.columns);
}

TEST_F(ColumnSumsTest, are_near_float64s_at_every_size) {
  for (const int rows : {1, 15, 16, 17, 511, 512, 513, 1200}) {
    for (const int columns : {1, 10, 32, 67}) {
      for (const Spacing& spacing : kSpacings) {
        testing::renew_device();
        const TestRows values = random_rows(rows, columns, spacing, 3);
        const std::vector<float> sums = sums_of(values);
        for (int j = 0; j < columns; ++j) {
          Product expected;
          for (int i = 0; i < rows; ++i) expected.add(values.at(i, j), 1);
          ASSERT_NEAR(sums[j], expected.value, expected.bound(Precision::fp32))
              << rows << " x " << columns << ", column " << j;
        }
      }
    }
  }
}

// 512 sums of 512 rows and one more: a third stage.
TEST_F(ColumnSumsTest, count_every_row_of_very_many_once) {
  const int rows = 512 * 512 + 5;
  TestRows values = empty_rows(rows, 1);
  values.values.assign(rows, 1);
  EXPECT_EQ(sums_of(values), std::vector<float>{rows});
}

TEST_F(ColumnSumsTest, of_no_rows_are_zero) {
  EXPECT_EQ(sums_of(empty_rows(0, 35)), std::vector<float>(35, 0));
}

TEST_F(ColumnSumsTest, have_the_same_bits_in_whatever_order_blocks_run) {
  const TestRows values = random_rows(1300, 40, {}, 5);
  expect_same_bits_for_all_seeds([&] { return sums_of(values); });
}

}  // namespace
}  // namespace lockstep::test
