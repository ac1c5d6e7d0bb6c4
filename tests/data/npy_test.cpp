#include <limits>

#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Npy : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    return folder_.write(name, content);
  }
  // Loads features with the labels 0, 1 (two rows).
  std::string with_labels(const std::string& features) {
    return "npy:" + file("x.npy", features) + "," + labels_;
  }
  TemporaryFolder folder_;
  std::string labels_ = file("y.npy", npy("<i8", false, "(2,)", raw<int64_t>({0, 1})));
  std::vector<float> numbers_ = {1, -2, 3.5f, 4, 5, 6};
};

TEST_F(Npy, round_trips_float32_in_every_version) {
  for (int version : {1, 2, 3}) {
    const Dataset data = load(with_labels(npy("<f4", false, "(2, 3)", raw(numbers_), version)));
    EXPECT_EQ(values_of(data.train), numbers_) << version;
    EXPECT_EQ(data.train.features.type, FeatureType::float32);
    EXPECT_FALSE(data.image);
  }
}

TEST_F(Npy, round_trips_float64_and_bytes) {
  const std::vector<double> wide(numbers_.begin(), numbers_.end());
  EXPECT_EQ(values_of(load(with_labels(npy("<f8", false, "(2, 3)", raw(wide)))).train), numbers_);
  const Dataset bytes =
      load(with_labels(npy("|u1", false, "(2, 3)", raw<uint8_t>({0, 1, 127, 128, 254, 255}))));
  EXPECT_EQ(bytes.train.features.type, FeatureType::uint8);
  EXPECT_THAT(values_of(bytes.train), ElementsAre(0, 1, 127, 128, 254, 255));
}

TEST_F(Npy, reads_integers_and_big_endian_numbers) {
  EXPECT_THAT(values_of(load(with_labels(npy("<i2", false, "(2,)", raw<int16_t>({-7, 9})))).train),
              ElementsAre(-7, 9));
  EXPECT_THAT(
      values_of(
          load(with_labels(npy(">i4", false, "(2, 1)", {"\0\0\1\0\xFF\xFF\xFF\xFF", 8}))).train),
      ElementsAre(256, -1));
}

TEST_F(Npy, transposes_fortran_order) {
  // More than a block of rows, an odd number of columns.
  constexpr int64_t kRows = 150, kColumns = 7;
  std::vector<float> columns(kRows * kColumns);
  std::vector<uint8_t> bytes(kRows * kColumns);
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < kColumns; ++j) {
      columns[j * kRows + i] = static_cast<float>(i * 10 + j);
      bytes[j * kRows + i] = static_cast<uint8_t>(i + j);
    }
  }
  const Dataset floats = load("npy:" + file("f.npy", npy("<f4", true, "(150, 7)", raw(columns))));
  const Dataset small = load("npy:" + file("b.npy", npy("|u1", true, "(150, 7)", raw(bytes))));
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < kColumns; ++j) {
      ASSERT_EQ(floats.train.features.float_row(i)[j], i * 10 + j);
      ASSERT_EQ(small.train.features.byte_row(i)[j], i + j);
    }
  }
}

TEST_F(Npy, takes_arrays_of_images) {
  const std::string pixels(2 * 3 * 4 * 5, '\7');
  const Dataset grey = load("npy:" + file("g.npy", npy("|u1", false, "(6, 4, 5)", pixels)));
  EXPECT_EQ(grey.features(), 20);
  EXPECT_EQ(grey.image->height, 4);
  const Dataset colour = load("npy:" + file("c.npy", npy("|u1", false, "(2, 3, 4, 5)", pixels)));
  EXPECT_EQ(colour.train.size(), 2);
  EXPECT_EQ(colour.image->channels, 3);
  EXPECT_EQ(colour.image->width, 5);
}

TEST_F(Npy, reads_labels_of_every_type) {
  const std::string x = file("x.npy", npy("<f4", false, "(3, 2)", raw(numbers_)));
  for (const std::string& y : {npy("<i8", false, "(3,)", raw<int64_t>({7, -1, 7})),
                               npy("<i4", false, "(3, 1)", raw<int32_t>({7, -1, 7})),
                               npy("|i1", false, "(3,)", raw<int8_t>({7, -1, 7})),
                               npy("<f8", false, "(3,)", raw<double>({7, -1, 7})),
                               npy("<f4", false, "(3,)", raw<float>({7, -1, 7}))}) {
    const Dataset data = load("npy:" + x + "," + file("labels.npy", y));
    EXPECT_THAT(data.class_names, ElementsAre("-1", "7"));
    EXPECT_THAT(data.train.labels, ElementsAre(1, 0, 1));
  }
  const std::string bytes = file("u.npy", npy("|u1", false, "(3,)", "\1\2\1"));
  EXPECT_THAT(load("npy:" + x + "," + bytes).train.labels, ElementsAre(0, 1, 0));
  const std::string booleans = file("b.npy", npy("|b1", false, "(3,)", {"\0\1\0", 3}));
  EXPECT_THAT(load("npy:" + x + "," + booleans).train.labels, ElementsAre(0, 1, 0));
}

TEST_F(Npy, can_be_mapped) {
  const ScopedVariable cache("LOCKSTEP_DATA", folder_.path().c_str());
  for (const char* descr : {"<f4", "|u1"}) {
    DataConfig config;
    config.data =
        with_labels(npy(descr, false, "(2, 3)", descr[1] == 'f' ? raw(numbers_) : "abcdef"));
    const Dataset mapped = load_dataset(config, 1, kMapAll);
    const Dataset resident = load_dataset(config, 1, kReadAll);
    EXPECT_TRUE(mapped.train.features.mapped);
    EXPECT_FALSE(resident.train.features.mapped);
    EXPECT_EQ(values_of(mapped.train), values_of(resident.train));
    EXPECT_EQ(mapped.sha256, resident.sha256);
    EXPECT_EQ(describe(mapped).mapped_bytes, describe(resident).memory_bytes - 2 * 4);
  }
}

TEST_F(Npy, names_row_and_column_of_numbers_that_are_not_finite) {
  const ScopedVariable cache("LOCKSTEP_DATA", folder_.path().c_str());
  numbers_[4] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> large = {0, 0, 0, 0, 1e300, 0};
  DataConfig config;
  for (const std::string& content :
       {npy("<f4", false, "(2, 3)", raw(numbers_)), npy("<f8", false, "(2, 3)", raw(large))}) {
    config.data = with_labels(content);
    for (const LoadLimits& limits : {kReadAll, kMapAll}) {
      EXPECT_THAT(error_of([&] { load_dataset(config, 1, limits); }).what(),
                  AllOf(HasSubstr("x.npy"), HasSubstr("row 2, column 2"), HasSubstr("finite")));
    }
  }
  config.data = with_labels(npy("<f4", true, "(2, 3)", raw(numbers_)));
  EXPECT_THAT(error_of([&] { load(config); }).what(), HasSubstr("row 1, column 3"));
}

TEST_F(Npy, refuses_headers_that_are_damaged_or_claim_too_much) {
  const std::string good = npy("<f4", false, "(2, 3)", raw(numbers_));
  for (const auto& [content, problem] : std::vector<std::pair<std::string, std::string>>{
           {"PK\3\4, an archive", "wrong magic"},
           {npy("<f4", false, "(2, 4)", raw(numbers_)), "needs 32 bytes, the file holds 24"},
           {npy("<f4", false, "(2, 2)", raw(numbers_)), "needs 16 bytes, the file holds 24"},
           {npy("<f4", false, "(9223372036854775807, 9223372036854775807)", raw(numbers_)),
            "the file holds 24"},
           {npy("<f4", false, "(99999999999999999999,)", raw(numbers_)), "expected a size"},
           {npy("<f4", false, "(-2, 3)", raw(numbers_)), "expected a size"},
           {npy("<f4", false, "()", raw(numbers_)), "1 to 4 dimensions"},
           {npy("<f4", false, "(0, 3)", ""), "holds nothing"},
           {npy("<c8", false, "(3, 1)", raw(numbers_)), "element type '<c8'"},
           {npy("|O", false, "(2, 3)", raw(numbers_)), "element type '|O'"},
           {npy("<f4', 'x': '", false, "(2, 3)", raw(numbers_)), "unknown key 'x'"},
           {npy("<f4", true, "(2, 3, 1)", raw(numbers_)), "Fortran order"},
           {good.substr(0, 6) + '\4' + good.substr(7), "version 4"},
           {good.substr(0, 8) + "\xFF\xFF" + good.substr(10), "claims 65535 bytes"},
       }) {
    EXPECT_THAT(load_error(with_labels(content)),
                AllOf(HasSubstr(folder_.path("x.npy")), HasSubstr(problem)));
  }
}

TEST_F(Npy, refuses_a_file_cut_at_any_length) {
  const std::string good = npy("<f4", false, "(2, 3)", raw(numbers_));
  for (size_t length = 1; length < good.size(); ++length) {
    EXPECT_THAT(load_error(with_labels(good.substr(0, length))), HasSubstr("x.npy")) << length;
  }
}

TEST_F(Npy, refuses_labels_that_do_not_fit) {
  const std::string x = file("x.npy", npy("<f4", false, "(3, 2)", raw(numbers_)));
  EXPECT_THAT(load_error("npy:" + x + "," + labels_),
              AllOf(HasSubstr(labels_), HasSubstr("2 labels, expected 3"), HasSubstr(x)));
  const std::string one_hot =
      file("hot.npy", npy("<i4", false, "(3, 2)", raw<int32_t>({0, 1, 1, 0, 0, 1})));
  EXPECT_THAT(load_error("npy:" + x + "," + one_hot), HasSubstr("2 columns, expected one label"));
  const std::string fractions = file("f.npy", npy("<f8", false, "(3,)", raw<double>({0, 1, 0.5})));
  EXPECT_THAT(load_error("npy:" + x + "," + fractions),
              AllOf(HasSubstr(fractions), HasSubstr("row 3"), HasSubstr("'0.5'")));
}

}  // namespace
}  // namespace lockstep
