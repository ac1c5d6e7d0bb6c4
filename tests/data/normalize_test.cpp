#include "data/normalize.h"

#include <cmath>

#include "files.h"

namespace lockstep {
namespace {

using testing::ElementsAre;

class Normalizing : public testing::Test {
 protected:
  Dataset with(const std::string& normalize,
               const std::string& table = "1,10,a\n3,10,b\n8,10,a\n") {
    DataConfig config;
    config.data = "csv:" + folder_.write("t.csv", table);
    config.normalize = normalize;
    return load(config);
  }
  Dataset bytes_with(const std::string& normalize, const std::string& shape,
                     const std::string& payload) {
    DataConfig config;
    config.data = "npy:" + folder_.write("x.npy", npy("|u1", false, shape, payload));
    config.normalize = normalize;
    return load(config);
  }
  TemporaryFolder folder_;
};

TEST_F(Normalizing, is_unit_for_bytes_and_nothing_for_floats_by_default) {
  EXPECT_TRUE(with("auto").normalization.identity());
  const Normalization bytes = bytes_with("auto", "(2, 2)", "abcd").normalization;
  EXPECT_EQ(bytes.kind, Normalize::unit);
  EXPECT_THAT(bytes.scale, ElementsAre(1.0f / 255.0f));
  EXPECT_THAT(bytes.offset, ElementsAre(0.0f));
  EXPECT_TRUE(bytes_with("none", "(2, 2)", "abcd").normalization.identity());
}

TEST_F(Normalizing, standardises_each_feature_of_a_table) {
  const Normalization n = with("standard").normalization;
  const double deviation = std::sqrt((9.0 + 1.0 + 16.0) / 3.0);
  ASSERT_EQ(n.scale.size(), 2u);
  EXPECT_FLOAT_EQ(n.scale[0], static_cast<float>(1.0 / deviation));
  EXPECT_FLOAT_EQ(n.offset[0], static_cast<float>(-4.0 / deviation));
  EXPECT_EQ(n.scale[1], 1.0f) << "no variance";
  EXPECT_EQ(n.offset[1], -10.0f);
}

TEST_F(Normalizing, standardises_each_channel_of_images) {
  // (2, 2, 1, 2): channels of two pixels. The first holds 0 2 4 6, the second 8 everywhere.
  const std::string payload("\0\2\10\10\4\6\10\10", 8);
  const Normalization n = bytes_with("standard", "(2, 2, 1, 2)", payload).normalization;
  const auto scale = static_cast<float>(1.0 / std::sqrt(5.0));
  const auto offset = static_cast<float>(-3.0 / std::sqrt(5.0));
  EXPECT_THAT(n.scale, ElementsAre(scale, scale, 1.0f, 1.0f));
  EXPECT_THAT(n.offset, ElementsAre(offset, offset, -8.0f, -8.0f));
}

TEST_F(Normalizing, uses_one_entry_for_grey_images) {
  const Normalization n = bytes_with("standard", "(2, 1, 2)", {"\0\2\4\6", 4}).normalization;
  EXPECT_THAT(n.scale, ElementsAre(static_cast<float>(1.0 / std::sqrt(5.0))));
  EXPECT_THAT(n.offset, ElementsAre(static_cast<float>(-3.0 / std::sqrt(5.0))));
}

TEST_F(Normalizing, keeps_its_precision_far_from_zero) {
  std::string table;
  for (int i = 0; i < 5000; ++i)
    table += std::to_string(1'000'000 + i % 2) + ",1," + std::to_string(i % 2) + "\n";
  const Normalization n = with("standard", table).normalization;
  EXPECT_FLOAT_EQ(n.scale[0], 2.0f);
}

TEST_F(Normalizing, takes_statistics_from_the_training_part_alone) {
  DataConfig config;
  config.data = "csv:" + folder_.write("train.csv", "1,a\n3,b\n100,a\n");
  config.test_data = "csv:" + folder_.write("test.csv", "1000,a\n");
  config.normalize = "standard";
  config.samples = 2;
  const Normalization n = load(config).normalization;
  EXPECT_FLOAT_EQ(n.scale[0], 1.0f);
  EXPECT_FLOAT_EQ(n.offset[0], -2.0f);
}

TEST_F(Normalizing, applies_given_numbers_in_units_of_unit) {
  const Normalization floats = with("mean=2,std=4").normalization;
  EXPECT_THAT(floats.scale, ElementsAre(0.25f));
  EXPECT_THAT(floats.offset, ElementsAre(-0.5f));
  const Normalization bytes = bytes_with("mean=0.5,std=0.25", "(2, 2)", "abcd").normalization;
  EXPECT_FLOAT_EQ(bytes.scale[0], 4.0f / 255.0f);
  EXPECT_FLOAT_EQ(bytes.offset[0], -2.0f);
}

TEST_F(Normalizing, refuses_what_cannot_be) {
  for (const char* text : {"unit", "max", "mean=1", "mean=1,std=0", "mean=x,std=1", "mean=1,std=-1",
                           "mean=nan,std=1", "std=1,mean=0"}) {
    EXPECT_EQ(error_of([&] { with(text); }).kind(), ErrorKind::usage) << text;
  }
}

}  // namespace
}  // namespace lockstep
