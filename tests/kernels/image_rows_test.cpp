#include "kernels/image_rows.h"

#include "kernels/conv_fixtures.h"

namespace lockstep::test {
namespace {

using ImageRowsTest = DeviceTest;

const std::vector<ImageShape> kShapes = {{1, 1, 1}, {64, 6, 6}, {3, 7, 9}, {33, 1, 1}, {5, 11, 6}};

TEST_F(ImageRowsTest, rows_become_images_whatever_their_stride) {
  for (const ImageShape& shape : kShapes) {
    for (const int extra : {0, 3}) {
      const TestRows rows = random_rows(5, static_cast<int>(shape.size()), {extra, extra, 1}, 1);
      const int pitch = padded_channels(shape.channels);
      const std::int64_t size = 5 * shape.pixels() * pitch;
      float* images = on_device(unwritten(size));
      images_from_rows(input_on_device(rows), 5, shape, images, new_stream());
      const Table got =
          table_of(from_device(images, static_cast<std::size_t>(size)), 5, shape, pitch);
      for (int i = 0; i < 5; ++i) {
        for (int j = 0; j < rows.columns; ++j) {
          ASSERT_EQ(static_cast<float>(got.at(i, j)), rows.at(i, j)) << i << ", " << j;
        }
      }
    }
  }
}

TEST_F(ImageRowsTest, drops_the_units_that_the_cpu_drops) {
  const DropoutKey key = dropout_key(5, 0, 2, 0.25);
  const std::vector<std::int64_t> samples = {40, 2, 3};
  for (const ImageShape& shape : kShapes) {
    const Table x = random_table(3, shape.size(), 1);
    const int pitch = input_pitch(shape.channels);
    const std::vector<float> host =
        images_of(x, shape, pitch, std::numeric_limits<float>::quiet_NaN());
    float* images = on_device(host);
    dropout_images(mask_on_device(key, samples), by_pixels(images, shape, pitch), 3, shape,
                   new_stream());
    const Table got = table_of(from_device(images, host.size()), 3, shape, pitch);
    TestRows expected = empty_rows(3, static_cast<int>(shape.size()));
    expected.values = floats_of(x);
    drop_on_cpu(key, samples, expected);
    EXPECT_EQ(floats_of(got), expected.values);
  }
}

TEST_F(ImageRowsTest, nothing_starts_without_images_or_mask) {
  const auto before = testing::launches_seen();
  images_from_rows({}, 0, {3, 2, 2}, nullptr, new_stream());
  dropout_images({}, {}, 3, {3, 2, 2}, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

}  // namespace
}  // namespace lockstep::test
