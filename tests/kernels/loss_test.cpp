// Softmax and binary cross-entropy against the float64 oracle.
#include <limits>

#include "backend/loss_oracle.h"
#include "kernels/binary_cross_entropy.h"
#include "kernels/op_fixture.h"
#include "kernels/softmax_loss.h"

namespace lockstep {
namespace {

using testing::Samples;

constexpr float kUntouched = 55.0f;

struct Outcome {
  BatchMetrics metrics;
  std::vector<float> gradient;  // [rows, stride]
};

bool operator==(const Outcome& a, const Outcome& b) {
  return a.metrics.loss == b.metrics.loss && a.metrics.correct == b.metrics.correct &&
         a.metrics.count == b.metrics.count && testing::same_bits(a.gradient, b.gradient);
}

enum class Place { apart, in_place, none };

class LossTest : public testing::KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (!IsSkipped()) scratch_ = testing::to_device(std::vector<LossScratch>(1));
  }

  Outcome run(Loss loss, const std::vector<float>& logits, const std::vector<std::int32_t>& labels,
              int classes, Place place, std::int64_t stride) {
    const auto count = static_cast<std::int64_t>(labels.size());
    std::vector<float> spread(count * stride, kUntouched);
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(logits.data() + i * classes, classes, spread.data() + i * stride);
    }
    float* on_device = testing::to_device(spread);
    LossRows rows;
    rows.logits = on_device;
    rows.logits_stride = stride;
    rows.labels = testing::to_device(labels);
    rows.rows = count;
    rows.classes = classes;
    rows.gradient_stride = stride;
    if (place == Place::in_place) rows.gradient = on_device;
    if (place == Place::apart) {
      rows.gradient = testing::to_device(std::vector<float>(count * stride, kUntouched));
    }
    state_ = testing::step_state();
    const LossSums sums = training_sums(state_, scratch_);
    if (loss == Loss::softmax_cross_entropy) {
      softmax_loss(rows, sums, stream_);
    } else {
      binary_cross_entropy_loss(rows, sums, stream_);
    }
    Outcome outcome;
    outcome.metrics = testing::from_device(state_, 1)[0].metrics;
    if (rows.gradient) outcome.gradient = testing::from_device(rows.gradient, count * stride);
    return outcome;
  }

  void expect_oracle(Loss loss, std::int64_t count, int classes, float deviation) {
    const Samples samples(FeatureType::float32, count, 1,
                          loss == Loss::softmax_cross_entropy ? classes : 2, 7);
    const std::vector<float> logits = testing::normals(count * classes, 11, deviation);
    const Batch batch = samples.range(0, count);
    const reference::Result expected = testing::loss_oracle(batch, logits, classes, loss);
    const std::int64_t stride = classes + 3;
    const Outcome apart = run(loss, logits, samples.split.labels, classes, Place::apart, stride);
    EXPECT_NEAR(apart.metrics.loss, expected.loss, 1e-5 + 2e-6 * expected.loss);
    EXPECT_EQ(apart.metrics.correct, expected.correct) << count << " x " << classes;
    EXPECT_EQ(apart.metrics.count, count);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < stride; ++j) {
        const float got = apart.gradient[i * stride + j];
        if (j >= classes) {
          ASSERT_EQ(got, kUntouched);
          continue;
        }
        const std::int32_t label = samples.split.labels[i];
        const double want = testing::loss_gradient(expected, i, j, label, loss);
        ASSERT_NEAR(got, want, 1e-6 + 4e-6 * std::fabs(want)) << i << ", " << j;
      }
    }
    EXPECT_EQ(run(loss, logits, samples.split.labels, classes, Place::in_place, stride), apart);
    const Outcome alone = run(loss, logits, samples.split.labels, classes, Place::none, stride);
    EXPECT_EQ(alone.metrics.loss, apart.metrics.loss);
    EXPECT_EQ(alone.metrics.correct, apart.metrics.correct);
  }

  LossScratch* scratch_ = nullptr;
  StepState* state_ = nullptr;
};

TEST_F(LossTest, softmax_matches_the_oracle) {
  for (const int classes : {2, 3, 5, 10, 16, 17, 32}) {
    for (const std::int64_t count : {1, 7, 33}) {
      expect_oracle(Loss::softmax_cross_entropy, count, classes, 2.0f);
    }
  }
  for (const int classes : {33, 100, 256, 257, 1009}) {
    expect_oracle(Loss::softmax_cross_entropy, 9, classes, 2.0f);
  }
  expect_oracle(Loss::softmax_cross_entropy, 150, 10, 40.0f);
}

TEST_F(LossTest, binary_cross_entropy_matches_the_oracle) {
  for (const std::int64_t count : {1, 2, 31, 128, 131, 300}) {
    expect_oracle(Loss::binary_cross_entropy, count, 1, 3.0f);
    expect_oracle(Loss::binary_cross_entropy, count, 1, 60.0f);
  }
}

// More rows than the largest grid takes at once.
TEST_F(LossTest, a_grid_goes_round_where_rows_are_many) {
  expect_oracle(Loss::softmax_cross_entropy, 2571, 17, 2.0f);
}

TEST_F(LossTest, sums_are_the_same_bits_whatever_the_order_of_blocks_and_threads) {
  const Samples samples(FeatureType::float32, 333, 1, 10, 7);
  const std::vector<float> logits = testing::normals(3330, 11, 3.0f);
  const Outcome first =
      run(Loss::softmax_cross_entropy, logits, samples.split.labels, 10, Place::apart, 10);
  for (std::uint64_t seed = 2; seed < 6; ++seed) {
    testing::set_order(seed);
    EXPECT_EQ(run(Loss::softmax_cross_entropy, logits, samples.split.labels, 10, Place::apart, 10),
              first);
  }
}

TEST_F(LossTest, ties_go_to_the_lowest_class) {
  for (const int classes : {4, 40, 400}) {
    const std::vector<float> logits(3 * classes, 1.25f);
    const Outcome outcome = run(Loss::softmax_cross_entropy, logits, {0, 1, classes - 1}, classes,
                                Place::none, classes);
    EXPECT_EQ(outcome.metrics.correct, 1);
  }
  EXPECT_EQ(
      run(Loss::binary_cross_entropy, {0.0f, 0.0f}, {0, 1}, 1, Place::none, 1).metrics.correct, 1);
}

TEST_F(LossTest, a_loss_that_is_not_finite_is_noted_once) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Loss loss : {Loss::softmax_cross_entropy, Loss::binary_cross_entropy}) {
    const int classes = loss == Loss::softmax_cross_entropy ? 2 : 1;
    std::vector<float> logits = testing::normals(5 * classes, 3);
    EXPECT_EQ(run(loss, logits, {0, 1, 1, 0, 1}, classes, Place::apart, classes).metrics.count, 5);
    EXPECT_EQ(testing::from_device(state_, 1)[0].first_bad_step, -1);
    logits[3 * classes] = nan;
    const Outcome outcome = run(loss, logits, {0, 1, 1, 0, 1}, classes, Place::apart, classes);
    EXPECT_TRUE(std::isnan(outcome.metrics.loss));
    EXPECT_EQ(testing::from_device(state_, 1)[0].first_bad_step, 0);
  }
}

TEST_F(LossTest, evaluation_adds_up_batches_without_a_state) {
  BatchMetrics* metrics = testing::to_device(std::vector<BatchMetrics>(1));
  LossRows rows;
  rows.logits = testing::to_device(std::vector<float>{2.0f, -1.0f, 3.0f});
  rows.logits_stride = 1;
  rows.labels = testing::to_device(std::vector<std::int32_t>{1, 1, 0});
  rows.rows = 3;
  rows.classes = 1;
  for (int i = 0; i < 2; ++i) {
    binary_cross_entropy_loss(rows, {.scratch = scratch_, .metrics = metrics}, stream_);
  }
  const BatchMetrics got = testing::from_device(metrics, 1)[0];
  EXPECT_EQ(got.count, 6);
  EXPECT_EQ(got.correct, 2);
  EXPECT_NEAR(got.loss, 2 * (0.126928 + 1.313262 + 3.048587), 1e-4);
}

}  // namespace
}  // namespace lockstep
