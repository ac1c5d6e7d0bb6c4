// The oracle against finite differences of its own loss, away from ReLU's kinks.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "reference/image_layers.h"
#include "reference/network.h"
#include "reference/optimizer.h"

namespace lockstep::reference {
namespace {

struct Problem {
  Model model;
  ParameterLayout layout;
  Split split;
  std::vector<float> features;
  std::vector<double> values;
  Batch batch;

  Problem(Model m, int64_t rows) : model(std::move(m)), layout(model) {
    std::mt19937 generator(7);
    std::normal_distribution<double> normal;
    features.resize(rows * model.inputs);
    for (float& x : features) x = static_cast<float>(normal(generator));
    split.features.rows = rows;
    split.features.columns = model.inputs;
    split.features.data = features.data();
    const int classes = std::max(model.classes, 2);
    for (int64_t i = 0; i < rows; ++i) split.labels.push_back(static_cast<int32_t>(i % classes));
    values.assign(layout.size(), 0.0);
    for (const TensorSpec& tensor : layout.tensors()) {
      for (size_t i = 0; i < tensor.size; ++i) values[tensor.offset + i] = 0.5 * normal(generator);
    }
    batch.data = &split;
    batch.contiguous = true;
    batch.contiguous_range = {0, rows};
    batch.epoch = 3;
  }

  Result run_at(const std::vector<double>& at) const {
    return run(model, layout, at, batch, {}, DropoutMode::on, 11);
  }
};

void expect_gradients_match_differences(const Problem& problem) {
  const Result result = problem.run_at(problem.values);
  constexpr double kStep = 1e-6;
  int kinks = 0;
  for (const TensorSpec& tensor : problem.layout.tensors()) {
    for (size_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      std::vector<double> moved = problem.values;
      moved[i] += kStep;
      const double above = problem.run_at(moved).loss;
      moved[i] -= 2 * kStep;
      const double below = problem.run_at(moved).loss;
      // The two one-sided slopes differ at a kink.
      const double right = (above - result.loss) / kStep, left = (result.loss - below) / kStep;
      if (std::fabs(right - left) > 1e-3) {
        ++kinks;
        continue;
      }
      const double difference = (above - below) / (2 * kStep);
      EXPECT_NEAR(result.gradients[i], difference, 1e-6 * std::max(1.0, std::fabs(difference)))
          << tensor.name << " element " << i - tensor.offset;
    }
  }
  EXPECT_LT(kinks, 3);
}

TEST(Reference, LogisticGradientMatchesFiniteDifferences) {
  expect_gradients_match_differences(Problem(make_logistic(7, 2), 13));
}

TEST(Reference, SoftmaxRegressionGradientMatchesFiniteDifferences) {
  expect_gradients_match_differences(Problem(make_logistic(5, 4), 11));
}

Problem conv_problem(const char* layers, ImageShape image) {
  return {make_layers(layers, image, image.size(), 3), 4};
}

TEST(Reference, ConvolutionGradientsMatchFiniteDifferences) {
  for (const char* layers :
       {"conv 3 3, relu, flatten, linear 3", "conv 2 2x3 pad 1, flatten, linear 3",
        "conv 4 3 stride 2 pad 1, relu, conv 2 2, flatten, linear 3",
        "conv 3 2, relu, maxpool 2, flatten, linear 3",
        "conv 2 3 pad 1, maxpool 3 stride 2, relu, dropout 0.3, flatten, linear 3",
        "maxpool 2 stride 1, conv 2 2, relu, avgpool 2, flatten, linear 3"}) {
    SCOPED_TRACE(layers);
    expect_gradients_match_differences(conv_problem(layers, {2, 6, 5}));
  }
}

// Numbers that were worked out by hand.
TEST(Reference, ConvolutionIsACrossCorrelation) {
  const ImageShape image{1, 2, 3};
  Conv2d conv{image, 1, 2, 2, 1, 1, Activation::none};
  Table x(1, 6);
  x.data = {1, 2, 3, 4, 5, 6};
  const double weight[] = {1, 10, 100, 1000}, bias[] = {0.5};
  const Table y = convolution(x, weight, bias, conv, Operands::exact);
  const std::vector<double> expected = {1000.5, 2100.5, 3200.5, 300.5, 4010.5, 5421.5,
                                        6532.5, 603.5,  40.5,   54.5,  65.5,   6.5};
  EXPECT_EQ(y.data, expected);
}

TEST(Reference, MlpGradientMatchesFiniteDifferences) {
  expect_gradients_match_differences(Problem(make_mlp(6, {7, 5}, 3, 0.0), 9));
}

TEST(Reference, MlpWithDropoutGradientMatchesFiniteDifferences) {
  expect_gradients_match_differences(Problem(make_mlp(6, {9, 8}, 3, 0.4), 9));
}

TEST(Reference, PaddingHasNoGradient) {
  const Problem problem(make_mlp(6, {7}, 3, 0.0), 5);
  std::vector<double> gradients = problem.run_at(problem.values).gradients;
  for (const TensorSpec& tensor : problem.layout.tensors()) {
    std::fill_n(gradients.begin() + tensor.offset, tensor.size, 0.0);
  }
  for (const double g : gradients) EXPECT_EQ(g, 0.0);
}

// The first step of Adam moves every weight by the learning rate against the gradient's sign.
TEST(Reference, AdamsFirstStepIsTheLearningRate) {
  OptimizerConfig config;
  config.kind = OptimizerKind::adam;
  config.learning_rate = 0.25;
  std::vector<double> values = {1.0, -2.0}, gradients = {8.0, -0.5};
  OptimizerState state;
  update(config, 0, 4, gradients, values, state);
  EXPECT_NEAR(values[0], 0.75, 1e-6);
  EXPECT_NEAR(values[1], -1.75, 1e-6);
}

}  // namespace
}  // namespace lockstep::reference
