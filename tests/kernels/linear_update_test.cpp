#include "kernels/linear_update.h"

#include <cmath>
#include <limits>

#include "kernels/linear_backward_weight.h"
#include "kernels/op_fixture.h"
#include "lockstep/parameters.h"

namespace lockstep {
namespace {

using testing::from_device;
using testing::normals;
using testing::to_device;

// Layers with random factors, parameters and moments. Inputs of 37, which is no whole vector, and
// of 40; more than a tile of units and of inputs; one output.
class LinearUpdateTest : public testing::KernelTest {
 protected:
  struct Buffers {
    ParameterPointers pointers;
    float* gradients;
    StepPointers step;
    StepReport* report;
  };
  static constexpr std::size_t kSize = 8192;

  void SetUp() override {
    KernelTest::SetUp();
    if (!IsSkipped()) testing::pretend_multiprocessors(132);
  }

  static std::vector<LinearUpdateLayer> layers(int batch) {
    std::vector<LinearUpdateLayer> all;
    std::size_t offset = 0;
    unsigned seed = 10;
    for (const auto& [inputs, outputs] : {std::pair{37, 70}, {70, 40}, {40, 1}}) {
      const auto rows = [&](int columns) {
        const std::int64_t stride = (columns + 3) / 4 * 4;
        return DeviceRows<const float>{to_device(normals(batch * stride, seed++)), stride};
      };
      LinearUpdateLayer layer{.inputs = inputs,
                              .outputs = outputs,
                              .dy = rows(outputs),
                              .x = rows(inputs),
                              .weight = offset,
                              .bias = offset + padded(std::size_t(inputs) * outputs)};
      offset = layer.bias + padded(static_cast<std::size_t>(outputs));
      all.push_back(layer);
    }
    EXPECT_LE(offset, kSize);
    return all;
  }

  static Buffers buffers(std::int64_t first_bad_step = -1) {
    float* gradients = to_device(std::vector<float>(kSize, 0.0F));
    StepState state;
    state.batch = 1;
    state.step = 7;
    state.first_bad_step = first_bad_step;
    OptimizerConfig config;
    config.learning_rate = 0.1;
    config.momentum = 0.9;
    config.weight_decay = 1e-3;
    std::vector<UpdateScalars> scalars;
    for (std::int64_t step = 0; step < 2; ++step) {
      scalars.push_back(update_scalars(config, 0.1 * (step + 1), step, 16));
    }
    StepReport* report = to_device(std::vector<StepReport>(1));
    return {{to_device(normals(kSize, 1)), gradients, to_device(normals(kSize, 2)),
             to_device(std::vector<float>(kSize, 0.5F))},
            gradients,
            {to_device(std::vector<StepState>{state}), to_device(scalars), report},
            report};
  }

  // All that a step leaves.
  struct Result {
    std::vector<float> values, state0, state1;
    StepState state;
    StepReport report;
  };
  static Result result_of(const Buffers& b) {
    return {from_device(b.pointers.values, kSize), from_device(b.pointers.state0, kSize),
            from_device(b.pointers.state1, kSize), from_device(b.step.state, 1)[0],
            from_device(b.report, 1)[0]};
  }

  void one_by_one(const std::vector<LinearUpdateLayer>& all, int batch, Precision precision,
                  UpdateRule rule, const Buffers& b) {
    std::size_t end = 0;
    for (const LinearUpdateLayer& layer : all) {
      linear_backward_weight({.batch = batch,
                              .inputs = layer.inputs,
                              .outputs = layer.outputs,
                              .first_unit = 0,
                              .units = layer.outputs,
                              .dy = layer.dy,
                              .x = layer.x,
                              .dweight = b.gradients + layer.weight,
                              .dbias = b.gradients + layer.bias},
                             precision, stream_);
      end = layer.bias + padded(static_cast<std::size_t>(layer.outputs));
    }
    update(rule, {0, end}, b.pointers, b.step, stream_);
    advance_step(b.step, stream_);
  }
};

TEST_F(LinearUpdateTest, has_the_bits_of_gradients_update_and_advance) {
  unsigned* ticket = to_device(std::vector<unsigned>{0});
  for (const int batch : {1, 33, 70}) {
    const std::vector<LinearUpdateLayer> all = layers(batch);
    ASSERT_TRUE(linear_update_fits(all, batch));
    for (const Precision precision : testing::precisions()) {
      for (const UpdateRule rule :
           {UpdateRule::sgd, UpdateRule::momentum, UpdateRule::nesterov, UpdateRule::adam}) {
        SCOPED_TRACE("batch " + std::to_string(batch) + ", precision " +
                     std::to_string(static_cast<int>(precision)) + ", rule " +
                     std::to_string(static_cast<int>(rule)));
        const Buffers apart = buffers(), fused = buffers();
        one_by_one(all, batch, precision, rule, apart);
        linear_update(all, batch, precision, rule, fused.pointers, fused.step, ticket, stream_);
        const Result expected = result_of(apart), actual = result_of(fused);
        // Padding between tensors is the update's alone: weight decay moves what is not zero.
        for (const LinearUpdateLayer& layer : all) {
          const auto same = [&](std::size_t at, std::size_t count) {
            for (std::size_t i = at; i < at + count; ++i) {
              ASSERT_EQ(actual.values[i], expected.values[i]) << i;
              ASSERT_EQ(actual.state0[i], expected.state0[i]) << i;
              ASSERT_EQ(actual.state1[i], expected.state1[i]) << i;
            }
          };
          same(layer.weight, std::size_t(layer.inputs) * layer.outputs);
          same(layer.bias, static_cast<std::size_t>(layer.outputs));
        }
        EXPECT_EQ(actual.state.batch, 2);
        EXPECT_EQ(actual.state.step, 8);
        EXPECT_EQ(actual.report.steps, 8U);
        EXPECT_EQ(actual.report.of(7).step, expected.report.of(7).step);
        EXPECT_EQ(from_device(ticket, 1)[0], 0U);
      }
    }
  }
}

TEST_F(LinearUpdateTest, updates_nothing_after_a_loss_that_is_not_finite) {
  const std::vector<LinearUpdateLayer> all = layers(5);
  unsigned* ticket = to_device(std::vector<unsigned>{0});
  const Buffers before = buffers(6), after = buffers(6);
  linear_update(all, 5, Precision::fp32, UpdateRule::adam, after.pointers, after.step, ticket,
                stream_);
  const Result unchanged = result_of(before), actual = result_of(after);
  EXPECT_TRUE(testing::same_bits(actual.values, unchanged.values));
  EXPECT_TRUE(testing::same_bits(actual.state0, unchanged.state0));
  EXPECT_TRUE(testing::same_bits(actual.state1, unchanged.state1));
  EXPECT_EQ(actual.state.step, 8);
  EXPECT_EQ(actual.report.of(7).first_bad_step, 6);
}

TEST_F(LinearUpdateTest, is_for_small_batches_and_few_layers) {
  const std::vector<LinearUpdateLayer> all = layers(1);
  EXPECT_TRUE(linear_update_fits(all, 256));
  EXPECT_FALSE(linear_update_fits(all, 8192)) << "splits its products";
  EXPECT_FALSE(linear_update_fits({}, 1));
  EXPECT_FALSE(linear_update_fits(std::vector(kLinearUpdateLayers + 1, all[0]), 1));
  if (!testing::pretend_multiprocessors(1)) return;
  EXPECT_FALSE(linear_update_fits(all, 256)) << "takes large tiles";
}

}  // namespace
}  // namespace lockstep
