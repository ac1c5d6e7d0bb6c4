#include "kernels/dropout_rows.h"

#include "backend/dropout.h"
#include "kernels/op_fixture.h"

namespace lockstep {
namespace {

constexpr std::uint64_t kSeed = 11;
constexpr std::uint32_t kEpoch = 6;
constexpr int kLayer = 3;

class DropoutRowsTest : public testing::KernelTest {
 protected:
  // The mask of `p` over `samples`; the epoch is the state's.
  DropoutMask mask(double p, const std::vector<std::int64_t>& samples) {
    const DropoutKey key = dropout_key(kSeed, kLayer, 0, p);
    DropoutMask mask;
    mask.stream = key.stream;
    mask.threshold = key.threshold;
    mask.keep_scale = key.keep_scale;
    mask.samples = testing::to_device(samples);
    mask.epoch = &testing::step_state(kSeed, kEpoch)->epoch;
    return mask;
  }
};

TEST_F(DropoutRowsTest, drops_and_scales_bitwise_what_the_cpu_does) {
  const testing::Samples data(FeatureType::float32, 200, 1, 2);
  for (const std::int64_t columns : {1, 2, 3, 4, 5, 31, 64, 127, 128, 129, 300}) {
    for (const std::int64_t rows : {1, 7, 8, 19}) {
      for (const std::int64_t stride : {columns, columns + 1, columns + 128 - columns % 4}) {
        const std::vector<std::int64_t> samples = testing::scattered(rows, 200);
        std::vector<float> values = testing::normals(rows * stride, 2);
        float* on_device = testing::to_device(values);
        dropout_rows(mask(0.3, samples), {on_device, stride}, rows, columns, stream_);
        apply_dropout(dropout_key(kSeed, kLayer, kEpoch, 0.3), data.pick(samples),
                      {values.data(), rows, columns, stride});
        EXPECT_TRUE(testing::same_bits(testing::from_device(on_device, rows * stride), values))
            << rows << " x " << columns << ", stride " << stride;
      }
    }
  }
}

TEST_F(DropoutRowsTest, without_a_mask_nothing_changes) {
  const std::vector<float> values = testing::normals(12, 2);
  float* on_device = testing::to_device(values);
  dropout_rows({}, {on_device, 4}, 3, 4, stream_);
  dropout_rows(mask(0.5, {1}), {on_device, 4}, 0, 4, stream_);
  EXPECT_EQ(testing::from_device(on_device, 12), values);
}

}  // namespace
}  // namespace lockstep
