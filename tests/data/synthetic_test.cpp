#include <algorithm>
#include <cmath>

#include "data/normals.h"
#include "files.h"

namespace lockstep {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Normals, have_the_moments_and_tails_of_the_normal_distribution) {
  constexpr int64_t kRows = 200'000, kColumns = 5;
  std::vector<float> draws(kRows * kColumns);
  fill_normals({.seed = 3, .purpose = Purpose::synthetic_features}, 0, kRows, kColumns,
               draws.data());
  double mean = 0, variance = 0, skewness = 0, kurtosis = 0;
  const auto n = static_cast<double>(draws.size());
  for (double x : draws) mean += x / n;
  for (double x : draws) {
    const double d = x - mean;
    variance += d * d / n;
    skewness += d * d * d / n;
    kurtosis += d * d * d * d / n;
  }
  // Five standard errors of a sample of this size.
  EXPECT_NEAR(mean, 0.0, 5.0 / std::sqrt(n));
  EXPECT_NEAR(variance, 1.0, 5.0 * std::sqrt(2.0 / n));
  EXPECT_NEAR(skewness, 0.0, 5.0 * std::sqrt(6.0 / n));
  EXPECT_NEAR(kurtosis, 3.0, 5.0 * std::sqrt(24.0 / n));
  for (double z : {-3.0, -2.0, -1.0, -0.5, 0.0, 0.25, 1.5, 2.5, 3.5}) {
    const double expected = 0.5 * std::erfc(-z / std::sqrt(2.0));
    const auto below = std::count_if(draws.begin(), draws.end(), [z](float x) { return x < z; });
    EXPECT_NEAR(below / n, expected, 2e-4 + 5.0 * std::sqrt(expected * (1 - expected) / n)) << z;
  }
}

// These bits are a promise: the same data from every compiler, on every machine. They were computed
// by another program too (NumPy, from the documented formulas).
TEST(Normals, keep_their_bits) {
  EXPECT_EQ(normal_from(0, 0), -0x1.4b7d58p+2f);
  EXPECT_EQ(normal_from(0x80007FFF, 0x7FFF8000), 0.0f);
  EXPECT_EQ(normal_from(0xDEADBEEF, 0x12345678), 0x1.4f75p-5f);
  EXPECT_EQ(load("synthetic:n=100,d=7").sha256,
            "e0f8e6ed4211e89f9144ec5d5580bc8d45893d1e03d0de87d429dae127c8923e");
  EXPECT_EQ(load("synthetic:n=100,d=7,classes=4").sha256,
            "50c2ee49a52d0491442580cfbb6e275b6d6ede07f72151b7103260e87dffd829");
}

TEST(Normals, do_not_depend_on_how_they_are_cut) {
  const RandomStream stream{.seed = 9, .purpose = Purpose::synthetic_features};
  std::vector<float> whole(10 * 7), pieces(10 * 7);
  fill_normals(stream, 100, 10, 7, whole.data());
  fill_normals(stream, 100, 3, 7, pieces.data());
  fill_normals(stream, 103, 7, 7, pieces.data() + 3 * 7);
  EXPECT_EQ(whole, pieces);
}

TEST(Synthetic, has_n_training_rows_and_a_tenth_as_many_test_rows_of_its_own) {
  const Dataset data = load("synthetic:n=1000,d=20");
  EXPECT_EQ(data.train.size(), 1000);
  EXPECT_EQ(data.features(), 20);
  ASSERT_TRUE(data.test);
  EXPECT_EQ(data.test->size(), 100);
  const float* train = data.train.features.float_row(0);
  const float* test = data.test->features.float_row(0);
  EXPECT_FALSE(std::equal(train, train + 20, test));
  EXPECT_FALSE(load("synthetic:n=9,d=2").test);
}

TEST(Synthetic, is_a_function_of_the_seed) {
  DataConfig config;
  config.data = "synthetic:n=100,d=5";
  EXPECT_EQ(load(config, 1).sha256, load(config, 1).sha256);
  EXPECT_NE(load(config, 1).sha256, load(config, 2).sha256);
  const std::string second = load(config, 2).sha256;
  config.data = "synthetic:n=100,d=5,seed=2";
  EXPECT_EQ(load(config, 1).sha256, second) << "the SPEC's own seed goes first";
}

TEST(Synthetic, has_balanced_classes) {
  const DataInfo two = describe(load("synthetic:n=20000,d=20"));
  EXPECT_THAT(two.class_names, ElementsAre("0", "1"));
  EXPECT_THAT(two.train_counts, Each(testing::AllOf(testing::Gt(9000), testing::Lt(11000))));
  const DataInfo five = describe(load("synthetic:n=20000,d=50,classes=5"));
  EXPECT_EQ(five.class_names.size(), 5u);
  EXPECT_THAT(five.train_counts, Each(testing::Gt(2000)));
}

// A perceptron separates both parts, so the rule behind them is linear and the same.
TEST(Synthetic, labels_follow_one_linear_rule_in_both_parts) {
  const Dataset data = load("synthetic:n=2000,d=8");
  std::vector<double> weights(8, 0.0);
  const auto product = [&](const float* x) {
    double sum = 0.0;
    for (int j = 0; j < 8; ++j) sum += weights[j] * x[j];
    return sum;
  };
  for (int pass = 0; pass < 300; ++pass) {
    for (int64_t i = 0; i < data.train.size(); ++i) {
      const float* x = data.train.features.float_row(i);
      const int target = data.train.labels[i] == 1 ? 1 : -1;
      if (product(x) * target > 0) continue;
      for (int j = 0; j < 8; ++j) weights[j] += target * x[j];
    }
  }
  int right = 0;
  for (int64_t i = 0; i < data.test->size(); ++i) {
    right += (product(data.test->features.float_row(i)) > 0) == (data.test->labels[i] == 1);
  }
  EXPECT_GE(right, 197) << "of 200";
}

TEST(Synthetic, refuses_bad_parameters) {
  for (const char* spec :
       {"synthetic", "synthetic:n=10", "synthetic:n=0,d=2", "synthetic:n=10,d=-1",
        "synthetic:n=10,d=2,classes=1", "synthetic:n=1e6,d=2", "synthetic:n=10,d=2,rows=3",
        "synthetic:n=10,d=2,n=11", "synthetic:n=10,d=2,classes=1001", "synthetic:nonsense"}) {
    EXPECT_EQ(error_of([&] { load(spec); }).kind(), ErrorKind::usage) << spec;
  }
}

TEST(Synthetic, refuses_what_would_not_fit) {
  EXPECT_THAT(load_error("synthetic:n=1000000000000,d=1000000"), HasSubstr("needs 4.0 EB"));
}

TEST(Digits, are_embedded_with_a_fixed_split) {
  const Dataset data = load("digits");
  EXPECT_EQ(data.train.size(), 1438);
  EXPECT_EQ(data.test->size(), 359);
  EXPECT_EQ(data.features(), 64);
  EXPECT_EQ(data.train.features.type, FeatureType::uint8);
  EXPECT_EQ(data.sha256, "82044558d1fe8fa219851711baadfcc8f137bb65b33dba20c5a8c9b6ef2daf69");
  EXPECT_THAT(std::vector<int32_t>(data.train.labels.begin(), data.train.labels.begin() + 6),
              ElementsAre(0, 1, 2, 3, 5, 6));
  EXPECT_EQ(data.test->labels[0], 4);
  EXPECT_FLOAT_EQ(data.normalization.scale.at(0), 1.0f / 16.0f);
  EXPECT_EQ(describe(data).normalization, "unit (x / 16)");
}

}  // namespace
}  // namespace lockstep
