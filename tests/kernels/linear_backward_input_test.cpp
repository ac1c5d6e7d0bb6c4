#include "kernels/linear_backward_input.h"

#include <algorithm>

#include "kernels/linear_fixtures.h"

namespace lockstep::test {
namespace {

using LinearBackwardInputTest = DeviceTest;

struct BackwardInput {
  TestRows dy, weight, x, dx;

  BackwardInput(const LinearSizes& sizes, Spacing spacing)
      : dy(random_rows(sizes.batch, sizes.outputs, spacing, 1)),
        weight(random_rows(sizes.outputs, sizes.inputs, {}, 2)),
        x(random_rows(sizes.batch, sizes.inputs, spacing, 3)),
        dx(empty_rows(sizes.batch, sizes.inputs, spacing)) {
    // Outputs of a ReLU: about half are zero.
    for (int i = 0; i < x.rows; ++i) {
      for (int k = 0; k < x.columns; ++k) x.at(i, k) = std::max(0.0F, x.at(i, k));
    }
  }

  TestRows run(Activation activation, Precision precision, const DropoutMask& dropout = {}) const {
    const LinearBackwardInput layer{
        .batch = dy.rows,
        .inputs = x.columns,
        .outputs = dy.columns,
        .dy = input_on_device(dy),
        .weight = on_device(weight.values),
        .x = input_on_device(x),
        .dx = on_device(dx),
        .activation = activation,
        .dropout = dropout,
        .workspace = workspace(linear_backward_input_workspace(dy.rows, x.columns, dy.columns))};
    linear_backward_input(layer, precision, new_stream());
    return from_device(layer.dx, dx);
  }

  void expect_near(const TestRows& result, Activation activation, Precision precision,
                   double keep_scale = 1) const {
    for (int i = 0; i < result.rows; ++i) {
      for (int k = 0; k < result.columns; ++k) {
        Product sum;
        for (int u = 0; u < dy.columns; ++u) sum.add(dy.at(i, u), weight.at(u, k));
        const bool active = activation == Activation::none || x.at(i, k) > 0;
        const double scale = active ? keep_scale : 0;
        ASSERT_NEAR(result.at(i, k), scale * sum.value, scale * sum.bound(precision))
            << "sample " << i << ", input " << k;
      }
    }
  }
};

void check(const LinearSizes& sizes, Precision precision, Spacing spacing) {
  SCOPED_TRACE(to_string(sizes));
  const BackwardInput backward(sizes, spacing);
  for (const Activation activation : {Activation::none, Activation::relu}) {
    backward.expect_near(backward.run(activation, precision), activation, precision);
  }
}
void check_sizes(const LinearSizes& sizes) {
  for_each_variant([&](auto... variant) { check(sizes, variant...); });
}
void check_split_sizes(const LinearSizes& sizes) {
  for_each_split_variant([&](auto... variant) { check(sizes, variant...); });
}

TEST_F(LinearBackwardInputTest, one_of_everything) {
  check_sizes({1, 1, 1});
  check_sizes({1, 20, 1});
}

TEST_F(LinearBackwardInputTest, sizes_that_fill_no_tile) {
  check_sizes({3, 7, 5});
  check_sizes({33, 41, 10});
}

// On a GPU so many that it takes large ones.
TEST_F(LinearBackwardInputTest, several_tiles_each_way) {
  check_sizes(testing::kEmulated ? LinearSizes{130, 67, 52} : LinearSizes{4096, 257, 40});
}

TEST_F(LinearBackwardInputTest, deep_products_are_split) {
  testing::pretend_multiprocessors(132);
  EXPECT_GT(linear_backward_input_workspace(34, 35, 521), 0U);
  check_split_sizes({34, 35, 521});
}

TEST_F(LinearBackwardInputTest, after_a_relu_dropout_scales_what_is_active) {
  const BackwardInput backward({2, 9, 4}, {});
  const DropoutKey key = dropout_key(3, 1, 6, 0.25);
  const TestRows dx = backward.run(Activation::relu, Precision::fp32, mask_on_device(key, {8, 1}));
  backward.expect_near(dx, Activation::relu, Precision::fp32, key.keep_scale);
}

TEST_F(LinearBackwardInputTest, without_an_activation_dropout_is_the_mask_of_the_forward_pass) {
  const std::vector<std::int64_t> samples = {8, 1, 3'000'000'000};
  const BackwardInput backward({3, 21, 4}, {});
  const DropoutKey key = dropout_key(3, 1, 6, 0.25);
  TestRows expected = backward.run(Activation::none, Precision::fp32);
  drop_on_cpu(key, samples, expected);
  EXPECT_EQ(backward.run(Activation::none, Precision::fp32, mask_on_device(key, samples)).values,
            expected.values);
}

TEST_F(LinearBackwardInputTest, same_bits_whatever_the_order_of_blocks_and_threads) {
  for_each_variant([](Precision precision, Spacing spacing) {
    const BackwardInput backward({40, 33, 50}, spacing);
    expect_same_bits_for_all_seeds(
        [&] { return backward.run(Activation::relu, precision).values; });
  });
}

TEST_F(LinearBackwardInputTest, same_bits_of_split_products) {
  for_each_split_variant([](Precision precision, Spacing spacing) {
    const BackwardInput backward({5, 7, 521}, spacing);
    expect_same_bits_for_all_seeds(
        [&] { return backward.run(Activation::relu, precision).values; });
  });
}

TEST_F(LinearBackwardInputTest, an_empty_batch_starts_nothing) {
  const auto before = testing::launches_seen();
  linear_backward_input({.batch = 0, .inputs = 4, .outputs = 3}, Precision::fp32, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

}  // namespace
}  // namespace lockstep::test
