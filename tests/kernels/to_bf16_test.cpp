#include "kernels/to_bf16.h"

#include "kernels/linear_fixtures.h"

namespace lockstep::test {
namespace {

using ToBf16Test = DeviceTest;

std::uint16_t bits(__nv_bfloat16 value) {
  return __bfloat16_as_ushort(value);
}

TEST_F(ToBf16Test, rounds_every_value_and_leaves_the_padding) {
  for (const int rows : {1, 8, 21}) {
    for (const int columns : {1, 2, 3, 4, 7, 127, 128, 130}) {
      for (const Spacing& spacing : kSpacings) {
        testing::renew_device();
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
        const TestRows from = random_rows(rows, columns, spacing, 1);
        const std::int64_t stride = (columns + 7) / 8 * 8;
        const std::vector<__nv_bfloat16> before(rows * stride, __nv_bfloat16(3.0F));
        __nv_bfloat16* device = on_device(before);
        to_bf16(input_on_device(from), {device, stride}, rows, columns, new_stream());
        const std::vector<__nv_bfloat16> to = from_device(device, before.size());
        for (int i = 0; i < rows; ++i) {
          for (int j = 0; j < stride; ++j) {
            const float expected = j < columns ? from.at(i, j) : 3.0F;
            ASSERT_EQ(bits(to[i * stride + j]), bits(__nv_bfloat16(expected))) << i << ", " << j;
          }
        }
      }
    }
  }
}

TEST_F(ToBf16Test, ties_go_to_even) {
  const TestRows from{1, 4, {}, {1 + 0x1p-8F, 1 + 3 * 0x1p-8F, -1 - 0x1p-8F, 1 + 0x1.02p-8F}};
  __nv_bfloat16* device = testing::device_array<__nv_bfloat16>(4);
  to_bf16(input_on_device(from), {device, 4}, 1, 4, new_stream());
  const std::vector<__nv_bfloat16> to = from_device(device, 4);
  const float expected[] = {1, 1 + 0x1p-6F, -1, 1 + 0x1p-7F};
  for (int j = 0; j < 4; ++j) EXPECT_EQ(static_cast<float>(to[j]), expected[j]) << j;
}

}  // namespace
}  // namespace lockstep::test
