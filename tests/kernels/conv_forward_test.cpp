#include "kernels/conv_forward.h"

#include "kernels/conv_fixtures.h"

namespace lockstep::test {
namespace {

using ConvForwardTest = DeviceTest;

struct Computed {
  std::vector<float> y;
  std::vector<unsigned char> index;
};

enum class Order { pixels, planes };

Computed run_forward(const ConvProblem& problem, const ConvShape& shape, Precision precision,
                     Order order = Order::pixels, Activation activation = Activation::none,
                     const DropoutMask& dropout = {}) {
  const ConvCase& c = problem.c;
  const ImageShape output = c.output();
  const std::int64_t size = order == Order::pixels
                                ? c.batch * output.pixels() * shape.output_pitch()
                                : c.batch * output.size();
  const std::int64_t indices = c.batch * output.pixels() * shape.output_pitch();
  float* y = on_device(unwritten(size));
  auto* index = on_device(std::vector<unsigned char>(static_cast<std::size_t>(indices), 255));
  conv_forward(
      {.batch = c.batch,
       .shape = shape,
       .x = problem.x_on_device(shape),
       .weight = problem.weight_on_device(shape),
       .bias = on_device(floats_of(problem.bias)),
       .y = order == Order::pixels ? by_pixels(y, output) : by_planes(y, output, output.size()),
       .index = index,
       .activation = activation,
       .dropout = dropout},
      precision, new_stream());
  return {from_device(y, static_cast<std::size_t>(size)),
          from_device(index, static_cast<std::size_t>(indices))};
}

Table relu(Table table) {
  for (double& value : table.data) value = std::max(value, 0.0);
  return table;
}

void expect_near(const ConvProblem& problem, const Table& y, const Table& expected,
                 Precision precision) {
  // The largest of several sums is as far off as the worst of them.
  expect_sums_near(y, expected, problem.pooled(problem.magnitudes()), problem.depth(), precision);
}

TEST_F(ConvForwardTest, is_the_oracles) {
  for_each_conv([](const ConvProblem& problem, Precision precision) {
    const Computed got = run_forward(problem, problem.c.shape(), precision);
    const Table y =
        table_of(got.y, problem.c.batch, problem.c.output(), padded_channels(problem.c.channels));
    expect_near(problem, y, problem.pooled(problem.convolved()), precision);
    if (precision != Precision::fp32 || problem.c.pool == 1) return;
    EXPECT_EQ(got.index, problem.index());
  });
}

TEST_F(ConvForwardTest, relu_comes_before_the_pooling) {
  for_each_conv([](const ConvProblem& problem, Precision precision) {
    const Computed got =
        run_forward(problem, problem.c.shape(), precision, Order::pixels, Activation::relu);
    const Table y =
        table_of(got.y, problem.c.batch, problem.c.output(), padded_channels(problem.c.channels));
    expect_near(problem, y, problem.pooled(relu(problem.convolved())), precision);
  });
}

TEST_F(ConvForwardTest, both_orders_of_the_output_and_of_the_input_are_the_same_values) {
  for (const ConvCase& c : conv_cases()) {
    SCOPED_TRACE(to_string(c));
    const ConvProblem problem(c);
    const Table pixels = table_of(run_forward(problem, c.shape(), Precision::fp32).y, c.batch,
                                  c.output(), padded_channels(c.channels));
    const Computed planes = run_forward(problem, c.shape(), Precision::fp32, Order::planes);
    EXPECT_EQ(std::vector<double>(planes.y.begin(), planes.y.end()), pixels.data);
    const Computed padded = run_forward(problem, c.hidden_shape(), Precision::fp32, Order::planes);
    const Table hidden{c.batch, c.output().size()};
    Table got = hidden;
    std::copy(padded.y.begin(), padded.y.end(), got.data.begin());
    expect_near(problem, got, pixels, Precision::fp32);
  }
}

TEST_F(ConvForwardTest, drops_the_units_that_the_cpu_drops) {
  const ConvCase c{{3, 8, 8}, 6, 3, 3, 1, 0, 2, 5};
  const ConvProblem problem(c);
  const DropoutKey key = dropout_key(9, 2, 3, 0.4);
  const std::vector<std::int64_t> samples = {7, 1, 100, 3, 2};
  for (const Order order : {Order::pixels, Order::planes}) {
    const auto rows_of = [&](const Computed& got) {
      if (order == Order::planes) return got.y;
      return floats_of(table_of(got.y, c.batch, c.output(), padded_channels(c.channels)));
    };
    TestRows expected = empty_rows(c.batch, static_cast<int>(c.output().size()));
    expected.values = rows_of(run_forward(problem, c.shape(), Precision::fp32, order));
    drop_on_cpu(key, samples, expected);
    EXPECT_EQ(rows_of(run_forward(problem, c.shape(), Precision::fp32, order, Activation::none,
                                  mask_on_device(key, samples))),
              expected.values);
  }
}

TEST_F(ConvForwardTest, the_first_of_equal_values_and_nan_are_the_largest) {
  const ConvCase c{{1, 4, 4}, 1, 1, 1, 1, 0, 2, 1};
  ConvProblem problem(c);
  problem.weight.data = {1.0};
  problem.bias.data = {0.0};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> image = {1, 1, 5,  nan,  //
                                    1, 1, 9,  2,    //
                                    0, 3, -1, -2,   //
                                    3, 2, -3, -4};
  std::copy(image.begin(), image.end(), problem.x.data.begin());
  const Computed got = run_forward(problem, c.shape(), Precision::fp32, Order::planes);
  EXPECT_EQ(got.index[0], 0);
  EXPECT_EQ(got.y[0], 1.0F);
  EXPECT_EQ(got.index[4], 1);
  EXPECT_TRUE(std::isnan(got.y[1]));
  EXPECT_EQ(got.index[8], 1);
  EXPECT_EQ(got.y[2], 3.0F);
  EXPECT_EQ(got.index[12], 0);
  EXPECT_EQ(got.y[3], -1.0F);
}

TEST_F(ConvForwardTest, an_empty_batch_starts_nothing) {
  const ConvCase c{{3, 8, 8}, 6, 3, 3, 1, 0, 2, 1};
  const auto before = testing::launches_seen();
  conv_forward({.batch = 0, .shape = c.shape()}, Precision::fp32, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

TEST_F(ConvForwardTest, a_batch_of_too_many_values_is_refused) {
  const ConvCase c{{3, 1024, 1024}, 64, 3, 3, 1, 1, 1, 1};
  EXPECT_THROW(conv_forward({.batch = 32, .shape = c.shape()}, Precision::fp32, new_stream()),
               Error);
}

TEST_F(ConvForwardTest, same_bits_whatever_the_order_of_blocks_and_threads) {
  for_each_variant([](Precision precision, Spacing spacing) {
    if (spacing.lead != 0) return;
    const ConvProblem problem({{5, 9, 9}, 34, 3, 3, 1, 1, 2, 3});
    expect_same_bits_for_all_seeds(
        [&] { return run_forward(problem, problem.c.shape(), precision, Order::planes).y; });
  });
}

}  // namespace
}  // namespace lockstep::test
