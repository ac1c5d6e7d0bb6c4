#include "kernels/conv_backward_weight.h"

#include "kernels/conv_fixtures.h"

namespace lockstep::test {
namespace {

using ConvBackwardWeightTest = DeviceTest;

struct UnitRange {
  int first, count;
};

struct Gradients {
  Table dweight, dbias;
};

Gradients run_backward(const ConvProblem& problem, const ConvShape& shape, Precision precision,
                       const std::vector<UnitRange>& ranges) {
  const ConvCase& c = problem.c;
  Gradients got{Table(c.channels, c.conv().fan_in()), Table(1, c.channels)};
  float* dweight = on_device(unwritten(c.channels * c.conv().fan_in()));
  float* dbias = on_device(unwritten(c.channels));
  const std::size_t floats = conv_backward_weight_workspace(shape, c.batch);
  // Whatever was in it.
  float* space = floats > 0 ? on_device(unwritten(static_cast<std::int64_t>(floats))) : nullptr;
  cudaStream_t stream = new_stream();
  for (const UnitRange& range : ranges) {
    conv_backward_weight({.batch = c.batch,
                          .shape = shape,
                          .first_unit = range.first,
                          .units = range.count,
                          .dy = problem.dy_on_device(),
                          .index = problem.index_on_device(),
                          .x = problem.x_on_device(shape),
                          .dweight = dweight,
                          .dbias = dbias,
                          .workspace = space},
                         precision, stream);
  }
  const std::vector<float> weights = from_device(dweight, got.dweight.data.size());
  const std::vector<float> biases = from_device(dbias, got.dbias.data.size());
  std::copy(weights.begin(), weights.end(), got.dweight.data.begin());
  std::copy(biases.begin(), biases.end(), got.dbias.data.begin());
  return got;
}

std::vector<UnitRange> all_units(const ConvCase& c) {
  return {{0, static_cast<int>(c.channels)}};
}

double depth_of(const ConvCase& c) {
  return static_cast<double>(c.batch * c.conv().output().pixels());
}

void expect_the_oracles(const ConvProblem& problem, const ConvShape& shape, Precision precision) {
  const Gradients got = run_backward(problem, shape, precision, all_units(problem.c));
  const auto expected = problem.gradients(), magnitudes = problem.gradient_magnitudes();
  expect_sums_near(got.dweight, expected.dweight, magnitudes.dweight, depth_of(problem.c),
                   precision);
  // db is summed in float32 in every precision.
  expect_sums_near(got.dbias, expected.dbias, magnitudes.dbias, depth_of(problem.c),
                   Precision::fp32);
}

TEST_F(ConvBackwardWeightTest, is_the_oracles) {
  for_each_conv([](const ConvProblem& problem, Precision precision) {
    expect_the_oracles(problem, problem.c.shape(), precision);
  });
}

TEST_F(ConvBackwardWeightTest, inputs_of_hidden_layers_are_padded) {
  for_each_conv([](const ConvProblem& problem, Precision precision) {
    if (problem.c.input.channels < 4) {
      expect_the_oracles(problem, problem.c.hidden_shape(), precision);
    }
  });
}

// More than 256 pixels for each of several blocks.
TEST_F(ConvBackwardWeightTest, many_pixels_are_split) {
  const ConvProblem narrow({{3, 9, 9}, 34, 3, 3, 1, 0, 2, 30});
  const ConvProblem wide({{4, 7, 9}, 40, 3, 3, 1, 1, 1, 17});
  for_each_split_variant([&](Precision precision, Spacing spacing) {
    if (spacing.lead != 0) return;
    for (const ConvProblem* problem : {&narrow, &wide}) {
      EXPECT_GT(conv_backward_weight_workspace(problem->c.shape(), problem->c.batch), 0U);
      expect_the_oracles(*problem, problem->c.shape(), precision);
    }
  });
}

TEST_F(ConvBackwardWeightTest, a_units_gradient_has_the_same_bits_in_every_range) {
  const auto check = [](const ConvProblem& problem, Precision precision) {
    const ConvShape shape = problem.c.shape();
    const Gradients whole = run_backward(problem, shape, precision, all_units(problem.c));
    const Gradients parts =
        run_backward(problem, shape, precision, {{32, 8}, {12, 20}, {12, 0}, {0, 12}});
    EXPECT_EQ(parts.dweight.data, whole.dweight.data);
    EXPECT_EQ(parts.dbias.data, whole.dbias.data);
  };
  for_each_variant([&](Precision precision, Spacing spacing) {
    if (spacing.lead != 0) return;
    check(ConvProblem({{3, 8, 7}, 40, 3, 3, 1, 1, 1, 12}), precision);
    check(ConvProblem({{5, 8, 8}, 40, 3, 3, 1, 1, 2, 10}), precision);
  });
}

TEST_F(ConvBackwardWeightTest, a_range_writes_its_units_alone) {
  const ConvProblem problem({{3, 8, 7}, 20, 3, 3, 1, 1, 1, 2});
  const Gradients got = run_backward(problem, problem.c.shape(), Precision::fp32, {{4, 7}});
  for (std::int64_t unit = 0; unit < 20; ++unit) {
    const bool computed = unit >= 4 && unit < 11;
    EXPECT_EQ(std::isnan(got.dbias.at(0, unit)), !computed) << unit;
    for (std::int64_t k = 0; k < 27; ++k) {
      EXPECT_EQ(std::isnan(got.dweight.at(unit, k)), !computed) << unit;
    }
  }
}

TEST_F(ConvBackwardWeightTest, an_empty_batch_gives_zero_gradients) {
  const ConvProblem problem({{3, 8, 7}, 20, 3, 3, 1, 1, 2, 0});
  const Gradients got =
      run_backward(problem, problem.c.shape(), Precision::fp32, all_units(problem.c));
  EXPECT_EQ(got.dweight.data, std::vector<double>(got.dweight.data.size(), 0.0));
  EXPECT_EQ(got.dbias.data, std::vector<double>(20, 0.0));
}

TEST_F(ConvBackwardWeightTest, an_empty_range_starts_nothing) {
  const ConvCase c{{4, 8, 8}, 6, 3, 3, 1, 0, 2, 1};
  const auto before = testing::launches_seen();
  conv_backward_weight({.batch = 1, .shape = c.shape(), .units = 0}, Precision::fp32, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

TEST_F(ConvBackwardWeightTest, same_bits_whatever_the_order_of_blocks_and_threads) {
  for_each_variant([](Precision precision, Spacing spacing) {
    if (spacing.lead != 0) return;
    const ConvProblem problem({{3, 9, 9}, 34, 3, 3, 1, 0, 2, 30});
    expect_same_bits_for_all_seeds([&] {
      const Gradients got =
          run_backward(problem, problem.c.shape(), precision, all_units(problem.c));
      std::vector<float> values = floats_of(got.dweight);
      const std::vector<float> biases = floats_of(got.dbias);
      values.insert(values.end(), biases.begin(), biases.end());
      return values;
    });
  });
}

}  // namespace
}  // namespace lockstep::test
