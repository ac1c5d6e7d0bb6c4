#include "kernels/conv_backward_input.h"

#include "kernels/conv_fixtures.h"

namespace lockstep::test {
namespace {

using ConvBackwardInputTest = DeviceTest;

std::vector<float> run_backward(const ConvProblem& problem, Precision precision,
                                const ImageBelow& below = {}) {
  const ConvCase& c = problem.c;
  const ConvShape shape = c.hidden_shape();
  const std::int64_t size = c.batch * c.input.pixels() * shape.input_pitch;
  float* dx = on_device(unwritten(size));
  conv_backward_input({.batch = c.batch,
                       .shape = shape,
                       .dy = problem.dy_on_device(),
                       .index = problem.index_on_device(),
                       .weight = problem.weight_on_device(shape),
                       .below = below,
                       .dx = dx},
                      precision, new_stream());
  return from_device(dx, static_cast<std::size_t>(size));
}

Table table_of_dx(const ConvProblem& problem, const std::vector<float>& dx) {
  return table_of(dx, problem.c.batch, problem.c.input, problem.c.hidden_shape().input_pitch);
}

double depth_of(const ConvCase& c) {
  return static_cast<double>(c.channels * c.kernel_height * c.kernel_width);
}

TEST_F(ConvBackwardInputTest, is_the_oracles) {
  for_each_conv([](const ConvProblem& problem, Precision precision) {
    expect_sums_near(table_of_dx(problem, run_backward(problem, precision)), problem.gradients().dx,
                     problem.gradient_magnitudes().dx, depth_of(problem.c), precision);
  });
}

// x is what the layer below has stored.
TEST_F(ConvBackwardInputTest, goes_through_relu_and_dropout_of_the_layer_below) {
  const ConvProblem problem({{6, 7, 8}, 9, 3, 3, 1, 1, 2, 3});
  const ConvCase& c = problem.c;
  const Table plain = table_of_dx(problem, run_backward(problem, Precision::fp32));
  const DropoutKey key = dropout_key(5, 1, 2, 0.25);
  const std::vector<std::int64_t> samples = {40, 2, 3};
  const auto pixels = static_cast<int>(c.input.pixels());
  const ImageDropout dropout{mask_on_device(key, samples), pixels};
  const float* output = problem.x_on_device(c.hidden_shape());
  const auto expect = [&](const ImageBelow& below, const auto& derivative) {
    const Table got = table_of_dx(problem, run_backward(problem, Precision::fp32, below));
    for (std::int64_t i = 0; i < c.batch; ++i) {
      for (std::int64_t u = 0; u < c.input.size(); ++u) {
        const auto expected = static_cast<float>(plain.at(i, u)) * derivative(i, u);
        ASSERT_EQ(static_cast<float>(got.at(i, u)), expected) << i << ", unit " << u;
      }
    }
  };
  const auto positive = [&](std::int64_t i, std::int64_t u) { return problem.x.at(i, u) > 0; };
  expect({output, true, {}},
         [&](std::int64_t i, std::int64_t u) { return positive(i, u) ? 1.0F : 0.0F; });
  expect({output, true, dropout},
         [&](std::int64_t i, std::int64_t u) { return positive(i, u) ? key.keep_scale : 0.0F; });
  expect({output, false, dropout}, [&](std::int64_t i, std::int64_t u) {
    const bool kept = reference::kept(5, 1, 2, samples[static_cast<std::size_t>(i)], u, 0.25);
    return kept ? key.keep_scale : 0.0F;
  });
}

TEST_F(ConvBackwardInputTest, an_empty_batch_starts_nothing) {
  const ConvCase c{{4, 8, 8}, 6, 3, 3, 1, 0, 2, 1};
  const auto before = testing::launches_seen();
  conv_backward_input({.batch = 0, .shape = c.shape()}, Precision::fp32, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

TEST_F(ConvBackwardInputTest, same_bits_whatever_the_order_of_blocks_and_threads) {
  for_each_variant([](Precision precision, Spacing spacing) {
    if (spacing.lead != 0) return;
    const ConvProblem problem({{5, 9, 9}, 34, 3, 3, 1, 1, 2, 3});
    expect_same_bits_for_all_seeds(
        [&] { return floats_of(table_of_dx(problem, run_backward(problem, precision))); });
  });
}

}  // namespace
}  // namespace lockstep::test
