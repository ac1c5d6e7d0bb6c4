#include <numeric>

#include "data/digest.h"
#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint8_t kBytes = 0x08;

std::string counting(size_t n) {
  std::string bytes(n, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

std::string spec(const std::string& images, const std::string& labels) {
  return "idx:" + images + "," + labels;
}

class IdxFiles : public testing::Test {
 protected:
  std::string images_bytes_ = idx(kBytes, {3, 2, 2}, counting(12));
  std::string labels_bytes_ = idx(kBytes, {3}, std::string("\5\7\5"));
  TemporaryFolder folder_;
  std::string images_ = folder_.write("images", images_bytes_);
  std::string labels_ = folder_.write("labels", labels_bytes_);
};

TEST_F(IdxFiles, round_trip_as_bytes) {
  const Dataset data = load(spec(images_, labels_));
  EXPECT_EQ(data.train.features.type, FeatureType::uint8);
  EXPECT_THAT(values_of(data.train), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 0));
  EXPECT_THAT(data.class_names, ElementsAre("5", "7"));
  ASSERT_TRUE(data.image);
  EXPECT_EQ(data.image->channels, 1);
  EXPECT_EQ(data.image->height, 2);
  EXPECT_EQ(data.image->width, 2);
  EXPECT_FALSE(data.test);
}

TEST_F(IdxFiles, are_the_same_compressed_or_mapped) {
  const std::string images_gz = folder_.write("images.gz", gzipped(images_bytes_));
  const std::string labels_gz = folder_.write("labels.gz", gzipped(labels_bytes_));
  const Dataset plain = load(spec(images_, labels_));
  const Dataset compressed = load(spec(images_gz, labels_gz));
  EXPECT_EQ(values_of(compressed.train), values_of(plain.train));
  EXPECT_EQ(compressed.sha256, plain.sha256);

  const ScopedVariable cache("LOCKSTEP_DATA", folder_.path().c_str());
  DataConfig config;
  config.data = spec(images_, labels_);
  for (const char* pass : {"computed", "cached"}) {
    const Dataset mapped = load_dataset(config, 1, kMapAll);
    EXPECT_TRUE(mapped.train.features.mapped);
    EXPECT_EQ(values_of(mapped.train), values_of(plain.train));
    EXPECT_EQ(mapped.sha256, plain.sha256) << pass;
  }
}

TEST_F(IdxFiles, larger_than_a_chunk_decompress_whole) {
  const std::string pixels = counting(size_t{3} << 20);
  const auto bytes = idx(kBytes, {3, 1 << 20}, pixels);
  const Dataset data = load(spec(folder_.write("big.gz", gzipped(bytes)), labels_));
  EXPECT_EQ(std::memcmp(data.train.features.data, pixels.data(), pixels.size()), 0);
  BackgroundDigest digest;
  digest.add(std::as_bytes(std::span(pixels)), nullptr);
  digest.add(std::as_bytes(std::span(data.train.labels)), nullptr);
  EXPECT_EQ(data.sha256, digest.hex());
}

TEST_F(IdxFiles, of_several_gzip_members_are_joined) {
  const std::string joined = gzipped(images_bytes_.substr(0, 9)) + gzipped(images_bytes_.substr(9));
  const Dataset data = load(spec(folder_.write("joined", joined), labels_));
  EXPECT_EQ(values_of(data.train), values_of(load(spec(images_, labels_)).train));
}

TEST_F(IdxFiles, of_other_types_become_float32) {
  const std::string shorts = folder_.write("shorts", idx(0x0B, {3, 1}, {"\1\0\xFF\xFF\0\2", 6}));
  EXPECT_THAT(values_of(load(spec(shorts, labels_)).train), ElementsAre(256, -1, 2));
  const std::string floats =
      folder_.write("floats", idx(0x0D, {3, 1}, {"\x3F\x80\0\0\xC0\0\0\0\x3F\0\0\0", 12}));
  EXPECT_THAT(values_of(load(spec(floats, labels_)).train), ElementsAre(1.0f, -2.0f, 0.5f));
  const std::string wide_labels =
      folder_.write("wide", idx(0x0C, {3}, {"\xFF\xFF\xFF\xFF\0\0\0\1\0\0\0\1", 12}));
  EXPECT_THAT(load(spec(images_, wide_labels)).class_names, ElementsAre("-1", "1"));
}

TEST_F(IdxFiles, without_a_label_file_have_no_classes) {
  const Dataset data = load("idx:" + images_);
  EXPECT_EQ(data.classes, 0);
  EXPECT_TRUE(data.train.labels.empty());
}

TEST_F(IdxFiles, that_are_missing_or_empty_are_named) {
  EXPECT_THAT(load_error(spec(folder_.path("absent"), labels_)),
              AllOf(HasSubstr(folder_.path("absent")), HasSubstr("No such file")));
  const std::string empty = folder_.write("empty", "");
  EXPECT_THAT(load_error(spec(empty, labels_)), AllOf(HasSubstr(empty), HasSubstr("empty")));
  EXPECT_THAT(load_error(spec(folder_.path(), labels_)), HasSubstr("is a folder"));
}

TEST_F(IdxFiles, with_a_wrong_magic_number_are_refused) {
  const std::string wrong = folder_.write("wrong", "PNG image, really");
  EXPECT_THAT(load_error(spec(wrong, labels_)),
              AllOf(HasSubstr(wrong), HasSubstr("byte 0"), HasSubstr("magic")));
  const std::string type = folder_.write("type", idx(0x42, {3, 1}, "abc"));
  EXPECT_THAT(load_error(spec(type, labels_)), AllOf(HasSubstr("byte 2"), HasSubstr("0x42")));
}

TEST_F(IdxFiles, that_are_truncated_are_refused_at_every_length) {
  for (size_t length = 1; length < images_bytes_.size(); ++length) {
    const std::string cut = folder_.write("cut", images_bytes_.substr(0, length));
    EXPECT_THAT(load_error(spec(cut, labels_)), HasSubstr(cut)) << length;
  }
  const std::string compressed = gzipped(images_bytes_);
  for (size_t length = 1; length < compressed.size(); ++length) {
    const std::string cut = folder_.write("cut.gz", compressed.substr(0, length));
    EXPECT_THAT(load_error(spec(cut, labels_)), HasSubstr(cut)) << length;
  }
}

TEST_F(IdxFiles, with_damaged_compression_name_the_byte) {
  std::string damaged = gzipped(idx(kBytes, {3, 1000}, std::string(3000, 'x') + "end"));
  damaged[damaged.size() - 6] ^= 0x55;  // the checksum of the content
  const std::string file = folder_.write("damaged.gz", damaged);
  EXPECT_THAT(load_error(spec(file, labels_)), AllOf(HasSubstr(file), HasSubstr("byte")));
}

// A few hundred bytes that claim 2^64 and more: refused before anything is allocated.
TEST_F(IdxFiles, whose_header_claims_too_much_are_refused) {
  for (const std::string& bytes :
       {idx(kBytes, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "abc"),
        idx(kBytes, {3, 5}, counting(12)), idx(0x0E, {0x7FFFFFFF}, "abc")}) {
    const std::string plain = folder_.write("huge", bytes);
    EXPECT_THAT(load_error(spec(plain, labels_)), AllOf(HasSubstr(plain), HasSubstr("claims")));
  }
  const std::string huge = idx(kBytes, {0xFFFFFFFF, 0xFFFFFFFF}, "abc");
  const std::string compressed = folder_.write("huge.gz", gzipped(huge));
  EXPECT_THAT(load_error(spec(compressed, labels_)), HasSubstr("claims"));
}

TEST_F(IdxFiles, with_bytes_left_over_are_refused) {
  const std::string longer = folder_.write("longer", images_bytes_ + "x");
  EXPECT_THAT(load_error(spec(longer, labels_)), AllOf(HasSubstr("byte 28"), HasSubstr("end")));
  const std::string compressed = folder_.write("longer.gz", gzipped(images_bytes_ + "x"));
  EXPECT_THAT(load_error(spec(compressed, labels_)), HasSubstr("end"));
  DataConfig config;
  config.data = spec(longer, labels_);
  EXPECT_THAT(error_of([&] { load_dataset(config, 1, kMapAll); }).what(), HasSubstr("byte 28"));
}

TEST_F(IdxFiles, with_other_counts_of_images_and_labels_are_refused) {
  const std::string four = folder_.write("four", idx(kBytes, {4}, "abcd"));
  EXPECT_THAT(load_error(spec(images_, four)),
              AllOf(HasSubstr(four), HasSubstr("4 labels, expected 3"), HasSubstr(images_)));
  EXPECT_THAT(load_error(spec(images_, images_)), HasSubstr("3 dimensions, expected labels"));
}

TEST_F(IdxFiles, with_numbers_that_are_not_finite_are_refused) {
  const std::string nan = folder_.write("nan", idx(0x0D, {1, 2}, {"\0\0\0\0\x7F\xC0\0\0", 8}));
  EXPECT_THAT(load_error("idx:" + nan), AllOf(HasSubstr("byte 16"), HasSubstr("finite")));
}

}  // namespace
}  // namespace lockstep
