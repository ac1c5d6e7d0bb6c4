#include "kernels/gather_images.h"

#include "backend/gather.h"
#include "kernels/op_fixture.h"

namespace lockstep {
namespace {

using testing::Samples;

constexpr float kUntouched = 77.0f;

class GatherImagesTest : public testing::KernelTest {
 protected:
  // Against the CPU's gather, every bit, and nothing beyond: pixel by pixel and plane by plane.
  void expect_as_on_the_cpu(FeatureType type, const ImageShape& shape,
                            const Normalization& normalization, const Augmentation* augmentation) {
    constexpr std::uint32_t kEpoch = 3;
    constexpr std::int64_t kBatch = 1;
    const Samples samples(type, 37, shape.size(), 5);
    const Sampler sampler(37, 3, Shuffle::epoch);
    const BatchRows batch = training_rows(sampler, kBatch, 11);
    const std::vector<std::int64_t> picked = testing::sampled(sampler, kEpoch, kBatch, batch);
    Batch host = samples.pick(picked, kEpoch);
    host.augmentation = augmentation;
    std::vector<float> planes(batch.rows * shape.size());
    gather(host, FeatureScaling(normalization, shape.size()), planes.data(), shape.size());

    const ResidentData data = testing::resident(samples);
    const FeatureScale scale = testing::device_scale(normalization);
    const StepState* state = testing::step_state(3, kEpoch, kBatch);
    const auto gathered = [&](const DeviceImages<float>& images, std::size_t size) {
      ImageGatherOutputs to{.images = images, .shape = shape};
      to.labels = testing::device_array<std::int32_t>(batch.rows);
      to.samples = testing::device_array<std::int64_t>(batch.rows);
      gather_images(data, scale, batch, augmentation, state, to, stream_);
      EXPECT_EQ(testing::from_device(to.samples, batch.rows), picked);
      std::vector<std::int32_t> labels;
      for (const std::int64_t sample : picked) labels.push_back(samples.split.labels[sample]);
      EXPECT_EQ(testing::from_device(to.labels, batch.rows), labels);
      return testing::from_device(images.data, size);
    };
    float* const by_plane = testing::to_device(std::vector<float>(planes.size(), kUntouched));
    EXPECT_TRUE(testing::same_bits(
        gathered(by_planes(by_plane, shape, shape.size()), planes.size()), planes));

    const int pitch = input_pitch(shape.channels);
    std::vector<float> pixels(batch.rows * shape.pixels() * pitch, kUntouched);
    float* const by_pixel = testing::to_device(pixels);
    for (std::int64_t i = 0; i < batch.rows; ++i) {
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        for (std::int64_t p = 0; p < shape.pixels(); ++p) {
          pixels[(i * shape.pixels() + p) * pitch + c] =
              planes[i * shape.size() + c * shape.pixels() + p];
        }
      }
    }
    EXPECT_TRUE(
        testing::same_bits(gathered(by_pixels(by_pixel, shape, pitch), pixels.size()), pixels));
  }
};

TEST_F(GatherImagesTest, are_bitwise_the_cpus_however_they_move) {
  for (const FeatureType type : {FeatureType::uint8, FeatureType::float32}) {
    for (const ImageShape& shape :
         {ImageShape{3, 8, 7}, ImageShape{1, 28, 28}, ImageShape{5, 1, 3}}) {
      const Augmentation flip{5, shape, 0, true}, crop{5, shape, 2, false}, both{5, shape, 4, true};
      for (const Augmentation* augmentation :
           {static_cast<const Augmentation*>(nullptr), &flip, &crop, &both}) {
        for (const Normalization& normalization :
             {Normalization{}, testing::unit_scaling(), testing::per_feature(shape.size(), 0.5f)}) {
          expect_as_on_the_cpu(type, shape, normalization, augmentation);
        }
      }
    }
  }
}

// Evaluation moves nothing.
TEST_F(GatherImagesTest, consecutive_images_stay_as_they_are) {
  const ImageShape shape{2, 3, 3};
  const Samples samples(FeatureType::float32, 9, shape.size(), 3);
  const Augmentation augmentation{5, shape, 2, true};
  float* const rows = testing::device_array<float>(7 * shape.size());
  const ImageGatherOutputs to{.images = by_planes(rows, shape, shape.size()), .shape = shape};
  gather_images(testing::resident(samples), {}, consecutive_rows({2, 9}), &augmentation, nullptr,
                to, stream_);
  EXPECT_EQ(testing::from_device(rows, 7 * shape.size()),
            std::vector<float>(samples.floats.begin() + 2 * shape.size(), samples.floats.end()));
}

}  // namespace
}  // namespace lockstep
