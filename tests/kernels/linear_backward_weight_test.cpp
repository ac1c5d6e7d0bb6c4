#include "kernels/linear_backward_weight.h"

#include "kernels/linear_fixtures.h"

namespace lockstep::test {
namespace {

using LinearBackwardWeightTest = DeviceTest;

struct UnitRange {
  int first, count;
};

struct BackwardWeight {
  TestRows dy, x, dweight, dbias;

  BackwardWeight(const LinearSizes& sizes, Spacing spacing)
      : dy(random_rows(sizes.batch, sizes.outputs, spacing, 1)),
        x(random_rows(sizes.batch, sizes.inputs, spacing, 2)),
        dweight(empty_rows(sizes.outputs, sizes.inputs)),
        dbias(empty_rows(1, sizes.outputs)) {}

  UnitRange all() const { return {0, dy.columns}; }

  // The gradients after a pass over each of `ranges`: dw, and db as one row more.
  std::vector<float> run(const std::vector<UnitRange>& ranges, Precision precision) const {
    float* dw = on_device(dweight.values);
    float* db = on_device(dbias.values);
    for (const UnitRange& range : ranges) {
      const LinearBackwardWeight layer{
          .batch = dy.rows,
          .inputs = x.columns,
          .outputs = dy.columns,
          .first_unit = range.first,
          .units = range.count,
          .dy = input_on_device(dy),
          .x = input_on_device(x),
          .dweight = dw,
          .dbias = db,
          .workspace = workspace(linear_backward_weight_workspace(dy.rows, x.columns, dy.columns))};
      linear_backward_weight(layer, precision, new_stream());
    }
    std::vector<float> gradients = test::from_device(dw, dweight.values.size());
    const std::vector<float> biases = test::from_device(db, dbias.values.size());
    gradients.insert(gradients.end(), biases.begin(), biases.end());
    return gradients;
  }

  void expect_near(const std::vector<float>& gradients, UnitRange range,
                   Precision precision) const {
    const int inputs = x.columns;
    for (int u = 0; u < dy.columns; ++u) {
      const bool computed = u >= range.first && u < range.first + range.count;
      for (int k = 0; k <= inputs; ++k) {
        const bool bias = k == inputs;
        const int place = bias ? dy.columns * inputs + u : u * inputs + k;
        const float gradient = gradients[static_cast<std::size_t>(place)];
        if (!computed) {
          ASSERT_TRUE(std::isnan(gradient)) << "unit " << u << " is not in the range";
          continue;
        }
        Product sum;
        for (int i = 0; i < dy.rows; ++i) sum.add(dy.at(i, u), bias ? 1 : x.at(i, k));
        // db is summed in float32 in every precision.
        ASSERT_NEAR(gradient, sum.value, sum.bound(bias ? Precision::fp32 : precision))
            << "unit " << u << (bias ? ", bias" : ", input ") << k;
      }
    }
  }
};

void check(const LinearSizes& sizes, Precision precision, Spacing spacing) {
  SCOPED_TRACE(to_string(sizes));
  const BackwardWeight backward(sizes, spacing);
  backward.expect_near(backward.run({backward.all()}, precision), backward.all(), precision);
}
void check_sizes(const LinearSizes& sizes) {
  for_each_variant([&](auto... variant) { check(sizes, variant...); });
}
void check_split_sizes(const LinearSizes& sizes) {
  for_each_split_variant([&](auto... variant) { check(sizes, variant...); });
}

TEST_F(LinearBackwardWeightTest, one_of_everything) {
  check_sizes({1, 1, 1});
  check_sizes({1, 20, 1});
}

TEST_F(LinearBackwardWeightTest, sizes_that_fill_no_tile) {
  check_sizes({3, 7, 5});
  check_sizes({33, 41, 10});
}

// On a GPU so many that it takes large ones.
TEST_F(LinearBackwardWeightTest, several_tiles_each_way) {
  check_sizes(testing::kEmulated ? LinearSizes{52, 67, 130} : LinearSizes{8192, 200, 130});
}

TEST_F(LinearBackwardWeightTest, many_samples_are_split) {
  testing::pretend_multiprocessors(132);
  EXPECT_GT(linear_backward_weight_workspace(521, 35, 34), 0U);
  check_split_sizes({521, 35, 34});
  check_split_sizes({1200, 20, 1});
}

TEST_F(LinearBackwardWeightTest, large_tiles_are_split_too) {
  testing::pretend_multiprocessors(2);
  const BackwardWeight backward({1030, 40, 36}, {});
  EXPECT_GT(linear_backward_weight_workspace(1030, 40, 36), 0U);
  backward.expect_near(backward.run({backward.all()}, Precision::fp32), backward.all(),
                       Precision::fp32);
}

TEST_F(LinearBackwardWeightTest, a_range_writes_its_units_alone) {
  for_each_variant([](Precision precision, Spacing spacing) {
    const BackwardWeight backward({20, 11, 50}, spacing);
    for (const UnitRange range : {UnitRange{0, 7}, UnitRange{3, 40}, UnitRange{49, 1}}) {
      backward.expect_near(backward.run({range}, precision), range, precision);
    }
  });
  for_each_split_variant([](Precision precision, Spacing spacing) {
    const BackwardWeight backward({521, 11, 9}, spacing);
    backward.expect_near(backward.run({{3, 5}}, precision), {3, 5}, precision);
  });
}

TEST_F(LinearBackwardWeightTest, a_units_gradient_has_the_same_bits_in_every_range) {
  // Two small tiles of units, split over the samples; and one large tile of units.
  const auto check_ranges = [](const LinearSizes& sizes, Precision precision) {
    const BackwardWeight backward(sizes, {});
    EXPECT_EQ(backward.run({{30, 10}, {5, 25}, {5, 0}, {0, 5}}, precision),
              backward.run({backward.all()}, precision));
  };
  for_each_split_variant([&](Precision precision, Spacing) {
    check_ranges({1030, 9, 40}, precision);
  });
  for_each_variant(
      [&](Precision precision, Spacing) {
        check_ranges({20, 70, 40}, precision);
      },
      {1});
}

TEST_F(LinearBackwardWeightTest, an_empty_range_starts_nothing) {
  const auto before = testing::launches_seen();
  linear_backward_weight({.batch = 5, .inputs = 4, .outputs = 3, .first_unit = 2, .units = 0},
                         Precision::fp32, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

TEST_F(LinearBackwardWeightTest, an_empty_batch_gives_zero_gradients) {
  for_each_variant([](Precision precision, Spacing) {
    const BackwardWeight backward({0, 37, 33}, {});
    const std::vector<float> zeros(37 * 33 + 33, 0.0F);
    EXPECT_EQ(backward.run({backward.all()}, precision), zeros);
  });
}

TEST_F(LinearBackwardWeightTest, same_bits_whatever_the_order_of_blocks_and_threads) {
  for_each_variant([](Precision precision, Spacing spacing) {
    const BackwardWeight backward({50, 33, 40}, spacing);
    expect_same_bits_for_all_seeds([&] { return backward.run({backward.all()}, precision); });
  });
}

TEST_F(LinearBackwardWeightTest, same_bits_of_split_products) {
  for_each_split_variant([](Precision precision, Spacing spacing) {
    const BackwardWeight backward({521, 7, 5}, spacing);
    expect_same_bits_for_all_seeds([&] { return backward.run({backward.all()}, precision); });
  });
}

}  // namespace
}  // namespace lockstep::test
