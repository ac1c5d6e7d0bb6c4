#include "kernels/linear_forward.h"

#include "kernels/linear_fixtures.h"
#include "lockstep/error.h"

namespace lockstep::test {
namespace {

using LinearForwardTest = DeviceTest;

// What a forward pass takes, on the host.
struct Forward {
  TestRows x, weight, bias, y;

  Forward(const LinearSizes& sizes, Spacing spacing)
      : x(random_rows(sizes.batch, sizes.inputs, spacing, 1)),
        weight(random_rows(sizes.outputs, sizes.inputs, {}, 2)),
        bias(random_rows(1, sizes.outputs, {}, 3)),
        y(empty_rows(sizes.batch, sizes.outputs, spacing)) {}

  TestRows run(Activation activation, Precision precision, const DropoutMask& dropout = {}) const {
    const LinearForward layer{
        .batch = x.rows,
        .inputs = x.columns,
        .outputs = weight.rows,
        .x = input_on_device(x),
        .weight = on_device(weight.values),
        .bias = on_device(bias.values),
        .y = on_device(y),
        .activation = activation,
        .dropout = dropout,
        .workspace = workspace(linear_forward_workspace(x.rows, x.columns, weight.rows))};
    linear_forward(layer, precision, new_stream());
    return from_device(layer.y, y);
  }

  Product product(int sample, int unit) const {
    Product sum;
    for (int k = 0; k < x.columns; ++k) sum.add(x.at(sample, k), weight.at(unit, k));
    sum.add(bias.at(0, unit), 1);
    return sum;
  }

  void expect_near(const TestRows& result, Activation activation, Precision precision) const {
    for (int i = 0; i < result.rows; ++i) {
      for (int u = 0; u < result.columns; ++u) {
        const Product sum = product(i, u);
        const bool cut = activation == Activation::relu && sum.value < 0;
        ASSERT_NEAR(result.at(i, u), cut ? 0 : sum.value, sum.bound(precision))
            << "sample " << i << ", unit " << u;
      }
    }
  }
};

void check(const LinearSizes& sizes, Precision precision, Spacing spacing) {
  SCOPED_TRACE(to_string(sizes));
  const Forward forward(sizes, spacing);
  for (const Activation activation : {Activation::none, Activation::relu}) {
    forward.expect_near(forward.run(activation, precision), activation, precision);
  }
}
void check_sizes(const LinearSizes& sizes) {
  for_each_variant([&](auto... variant) { check(sizes, variant...); });
}
void check_split_sizes(const LinearSizes& sizes) {
  for_each_split_variant([&](auto... variant) { check(sizes, variant...); });
}

TEST_F(LinearForwardTest, one_sample_one_input_one_unit) {
  check_sizes({1, 1, 1});
  check_sizes({1, 20, 1});
}

TEST_F(LinearForwardTest, sizes_that_fill_no_tile) {
  check_sizes({3, 7, 5});
  check_sizes({33, 31, 41});
}

// On a GPU so many that it takes large ones.
TEST_F(LinearForwardTest, several_tiles_each_way) {
  check_sizes(testing::kEmulated ? LinearSizes{130, 52, 67} : LinearSizes{4096, 40, 257});
}

TEST_F(LinearForwardTest, deep_products_are_split) {
  testing::pretend_multiprocessors(132);
  EXPECT_GT(linear_forward_workspace(9, 784, 10), 0U);
  check_split_sizes({9, 784, 10});
  check_split_sizes({34, 521, 35});
}

TEST_F(LinearForwardTest, a_split_product_is_refused_without_a_workspace) {
  testing::pretend_multiprocessors(132);
  LinearForward layer;
  layer.batch = 9;
  layer.inputs = 784;
  layer.outputs = 10;
  EXPECT_THROW(linear_forward(layer, Precision::fp32, new_stream()), Error);
}

TEST_F(LinearForwardTest, dropout_keeps_the_units_that_the_cpu_keeps) {
  const std::vector<std::int64_t> samples = {5, 0, 5'000'000'000, 17, 4, 99, 1};
  const auto count = static_cast<int>(samples.size());
  for (const int outputs : {1, 6, 40}) {
    const Forward forward({count, 3, outputs}, {});
    const DropoutKey key = dropout_key(77, 2, 9, 0.4);
    const DropoutMask mask = mask_on_device(key, samples);
    const TestRows plain = forward.run(Activation::relu, Precision::fp32);
    const TestRows dropped = forward.run(Activation::relu, Precision::fp32, mask);

    TestRows expected = plain;
    drop_on_cpu(key, samples, expected);
    EXPECT_EQ(dropped.values, expected.values);
    EXPECT_NE(dropped.values, plain.values);
  }
}

TEST_F(LinearForwardTest, dropout_follows_split_products_too) {
  testing::pretend_multiprocessors(132);
  const std::vector<std::int64_t> samples = {3, 2};
  const Forward forward({2, 1000, 9}, {});
  const DropoutKey key = dropout_key(1, 1, 0, 0.5);
  const DropoutMask mask = mask_on_device(key, samples);
  TestRows expected = forward.run(Activation::none, Precision::fp32);
  drop_on_cpu(key, samples, expected);
  EXPECT_EQ(forward.run(Activation::none, Precision::fp32, mask).values, expected.values);
}

TEST_F(LinearForwardTest, relu_does_not_hide_nan) {
  Forward forward({2, 5, 3}, {});
  forward.x.at(1, 2) = std::numeric_limits<float>::quiet_NaN();
  const TestRows y = forward.run(Activation::relu, Precision::fp32);
  for (int u = 0; u < 3; ++u) {
    EXPECT_FALSE(std::isnan(y.at(0, u)));
    EXPECT_TRUE(std::isnan(y.at(1, u)));
  }
}

TEST_F(LinearForwardTest, same_bits_whatever_the_order_of_blocks_and_threads) {
  for_each_variant([](Precision precision, Spacing spacing) {
    const Forward forward({40, 50, 33}, spacing);
    expect_same_bits_for_all_seeds([&] { return forward.run(Activation::relu, precision).values; });
  });
}

TEST_F(LinearForwardTest, same_bits_of_split_products) {
  for_each_split_variant([](Precision precision, Spacing spacing) {
    const Forward forward({5, 521, 7}, spacing);
    expect_same_bits_for_all_seeds([&] { return forward.run(Activation::relu, precision).values; });
  });
}

TEST_F(LinearForwardTest, an_empty_batch_starts_nothing) {
  const auto before = testing::launches_seen();
  linear_forward({.batch = 0, .inputs = 4, .outputs = 3}, Precision::fp32, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
  EXPECT_EQ(linear_forward_workspace(0, 784, 10), 0U);
}

TEST_F(LinearForwardTest, precisions_without_tensor_cores_are_refused_with_a_remedy) {
  if (!testing::pretend_capability(7, 5)) GTEST_SKIP() << "a GPU is what it is";
  const Forward forward({2, 3, 4}, {});
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    try {
      forward.run(Activation::none, precision);
      ADD_FAILURE() << "not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::device);
      EXPECT_NE(std::string(error.what()).find("7.5"), std::string::npos) << error.what();
      EXPECT_NE(error.remedy().find("fp32"), std::string::npos);
    }
  }
  forward.expect_near(forward.run(Activation::none, Precision::fp32), Activation::none,
                      Precision::fp32);
}

}  // namespace
}  // namespace lockstep::test
