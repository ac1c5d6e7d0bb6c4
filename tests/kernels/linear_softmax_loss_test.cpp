#include "kernels/linear_softmax_loss.h"

#include <cmath>
#include <limits>

#include "kernels/op_fixture.h"
#include "kernels/softmax_loss.h"

namespace lockstep {
namespace {

using testing::from_device;
using testing::normals;
using testing::to_device;

class LinearSoftmaxLossTest : public testing::KernelTest {
 protected:
  struct Sizes {
    int batch, inputs, outputs;
  };
  struct Result {
    std::vector<float> logits;
    StepState state;
  };
  enum class Kernels { one, two };
  enum class Gradient { none, in_place };

  void SetUp() override {
    KernelTest::SetUp();
    if (!IsSkipped()) testing::pretend_multiprocessors(132);
  }

  Result run(const Sizes& s, Precision precision, Gradient gradient, Kernels kernels,
             float first_weight = 1.0F) {
    const std::int64_t x_stride = (s.inputs + 3) / 4 * 4, y_stride = s.outputs + 3;
    std::vector<float> weight = normals(std::size_t(s.inputs) * s.outputs, 2);
    weight[0] = first_weight;
    std::vector<std::int32_t> labels(s.batch);
    for (int i = 0; i < s.batch; ++i) labels[i] = i * 7 % s.outputs;
    float* y = to_device(std::vector<float>(s.batch * y_stride, -5.0F));
    StepState state;
    state.step = 3;
    StepState* on_device = to_device(std::vector<StepState>{state});
    auto* scratch = testing::device_array<LossScratch>(1);
    check(cudaMemset(scratch, 0, sizeof(LossScratch)), "cudaMemset");
    const LinearForward layer{.batch = s.batch,
                              .inputs = s.inputs,
                              .outputs = s.outputs,
                              .x = {to_device(normals(s.batch * x_stride, 1)), x_stride},
                              .weight = to_device(weight),
                              .bias = to_device(normals(s.outputs, 3)),
                              .y = {y, y_stride}};
    const LossRows rows{.logits = y,
                        .logits_stride = y_stride,
                        .labels = to_device(labels),
                        .gradient = gradient == Gradient::none ? nullptr : y,
                        .gradient_stride = y_stride,
                        .rows = s.batch,
                        .classes = s.outputs};
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    const LossSums sums = training_sums(on_device, scratch);
    if (kernels == Kernels::one) {
      linear_softmax_loss(layer, rows, sums, precision, stream_);
    } else {
      linear_forward(layer, precision, stream_);
      softmax_loss(rows, sums, stream_);
    }
    EXPECT_EQ(from_device(&scratch->ticket, 1)[0], 0U);
    return {from_device(y, s.batch * y_stride), from_device(on_device, 1)[0]};
  }
};

TEST_F(LinearSoftmaxLossTest, has_the_bits_of_the_layer_and_the_loss) {
  for (const Sizes& sizes : {Sizes{1, 1, 1}, {33, 41, 10}, {70, 130, 32}, {257, 20, 3}}) {
    ASSERT_TRUE(linear_softmax_loss_fits(sizes.batch, sizes.inputs, sizes.outputs));
    for (const Precision precision : testing::precisions()) {
      for (const Gradient gradient : {Gradient::none, Gradient::in_place}) {
        SCOPED_TRACE(std::to_string(sizes.batch) + " rows, precision " +
                     std::to_string(static_cast<int>(precision)));
        const Result two = run(sizes, precision, gradient, Kernels::two);
        const Result one = run(sizes, precision, gradient, Kernels::one);
        EXPECT_TRUE(testing::same_bits(one.logits, two.logits));
        EXPECT_EQ(one.state.metrics.correct, two.state.metrics.correct);
        EXPECT_EQ(one.state.metrics.count, sizes.batch);
        EXPECT_NEAR(one.state.metrics.loss, two.state.metrics.loss,
                    1e-12 * std::abs(two.state.metrics.loss));
        EXPECT_EQ(one.state.first_bad_step, -1);
      }
    }
  }
}

TEST_F(LinearSoftmaxLossTest, notes_a_loss_that_is_not_finite) {
  const Result result = run({40, 20, 5}, Precision::fp32, Gradient::in_place, Kernels::one,
                            std::numeric_limits<float>::infinity());
  EXPECT_EQ(result.state.first_bad_step, 3);
}

TEST_F(LinearSoftmaxLossTest, is_for_few_classes_and_short_products) {
  EXPECT_TRUE(linear_softmax_loss_fits(256, 128, 10));
  EXPECT_FALSE(linear_softmax_loss_fits(256, 128, 33)) << "more than a tile";
  EXPECT_FALSE(linear_softmax_loss_fits(256, 784, 10)) << "split";
  EXPECT_FALSE(linear_softmax_loss_fits(1 << 20, 128, 10))
      << "more blocks than losses are kept for";
}

}  // namespace
}  // namespace lockstep
