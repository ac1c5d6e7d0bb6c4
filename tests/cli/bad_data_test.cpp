// Data sets that are not what they should be: each is refused with exit code 3 and a message that
// names the file, the place in it, what was expected and what to do.
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/failures.h"

namespace lockstep::testing {
namespace {

using namespace std::string_literals;

// Big-endian sizes behind IDX's magic number.
std::string idx(char type, const std::vector<uint32_t>& sizes, const std::string& payload) {
  std::string bytes = "\0\0"s + type + static_cast<char>(sizes.size());
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift & 0xFF);
  }
  return bytes + payload;
}

std::string npy(const std::string& shape, const std::string& payload) {
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n";
  return "\x93NUMPY\x01\x00"s + static_cast<char>(header.size()) + '\0' + header + payload;
}

struct BadFile {
  std::string name;
  std::string content;
  std::string spec;  // %: the file
  std::string says;  // after the file's name
};

class BadData : public ::testing::Test {
 protected:
  void expect_refusal(const BadFile& bad) {
    const std::string path = folder_.write(bad.name, bad.content);
    std::string spec = bad.spec;
    spec.replace(spec.find('%'), 1, path);
    const std::string message = path + ": " + bad.says;
    expect_failure({{"train", "--data", spec, "--epochs", "1"}, 3, message});
    expect_failure({{"data", "info", spec}, 3, message});
  }

  TemporaryFolder folder_;
};

TEST_F(BadData, of_idx) {
  const std::string images = idx(8, {4, 2, 3}, std::string(24, 'x'));
  const std::string labels = folder_.write("labels", idx(8, {4}, "\0\1\0\1"s));
  const std::string three = folder_.write("three", idx(8, {3}, "\0\1\0"s));
  const std::string as_images = "idx:%," + labels;
  for (const BadFile& bad : std::vector<BadFile>{
           {"empty", "", as_images, "the file is empty"},
           {"head", "\0\0\x08"s, as_images, "byte 3: truncated"},
           {"magic", "PNG\n" + images, as_images, "byte 0: wrong magic number"},
           {"type", idx(0x42, {4, 2, 3}, std::string(24, 'x')), as_images, "byte 2: unknown IDX"},
           {"short", images.substr(0, images.size() - 4), as_images, "byte 4: the header claims"},
           {"long", images + "xx", as_images, "byte 40: expected the end of the file"},
           {"huge", idx(8, {0xFFFFFFFF, 0xFFFFFFFF, 3}, "x"), as_images,
            "byte 4: the header claims"},
           {"none", idx(8, {0, 2, 3}, ""), as_images, "byte 4: a size is 0"},
           {"nan", idx(0x0D, {4, 1}, "\x7F\xC0\0\0"s + std::string(12, '\0')), as_images,
            "byte 12: expected a finite number"},
           {"gzip", "\x1F\x8B\x08\0broken"s, as_images, "byte "},
       }) {
    expect_refusal(bad);
  }
  expect_failure({{"train", "--data", "idx:" + folder_.write("images", images) + "," + three},
                  3,
                  three + ": byte 4: 3 labels, expected 4 as there are images in"});
  expect_failure({{"train", "--data", "idx:" + folder_.file("images")}, 3, "has no labels"});
}

TEST_F(BadData, of_csv) {
  for (const BadFile& bad : std::vector<BadFile>{
           {"empty.csv", "", "csv:%", "the file is empty"},
           {"header.csv", "a,b,label\n", "csv:%", "there are no rows below the header"},
           {"ragged.csv", "1,2,0\n1,2,1\n1,1\n", "csv:%", "line 3: 2 fields, expected 3"},
           {"words.csv", "1,2,0\n1,two,1\n1,2,1\n", "csv:%", "line 2, column 2: 'two' is not"},
           {"nan.csv", "a,b,label\n1,2,0\n1,nan,1\n", "csv:%", "line 3, column 2 ('b'): 'nan'"},
           {"inf.csv", "a,b,label\n1,2,0\n1e999,2,1\n", "csv:%", "line 3, column 1 ('a'): '1e999'"},
           {"label.csv", "a,b,label\n1,2,0\n1,2,\n", "csv:%", "line 3, column 3: the label is"},
           {"one.csv", "1,2,0\n1,3,0\n", "csv:%", "every label is '0'"},
           {"target.csv", "a,label\n1,0.5\n2,1.5\n", "csv:%", "row 1: label '0.5' is not an"},
           {"quote.csv", "a,label\n\"1,0\n2,1\n", "csv:%", "line 2, column 1: the quoted field"},
           {"binary.csv", "a,b\0c\n"s, "csv:%", "byte 3: a zero byte"},
           {"column.csv", "a,b,label\n1,2,0\n", "csv:%,label=c", "line 1: there is no column 'c'"},
       }) {
    expect_refusal(bad);
  }
  expect_failure({{"train", "--data", "csv:" + folder_.file("absent.csv")},
                  3,
                  folder_.file("absent.csv") + ": cannot open: No such file"});
  expect_failure({{"train", "--data", "csv:" + folder_.file("")}, 3, "is a folder"});
}

TEST_F(BadData, of_libsvm_and_npy_and_cifar) {
  const std::string labels = folder_.write("y.npy", npy("(2,)", std::string(8, '\0')));
  const std::string as_features = "npy:%," + labels;
  for (const BadFile& bad : std::vector<BadFile>{
           {"word.svm", "1 1:2 2:x\n", "libsvm:%", "line 1, column 9: 'x' is not a number"},
           {"order.svm", "1 2:1 1:1\n", "libsvm:%", "line 1, column 7: index 1 follows 2"},
           {"nan.svm", "1 1:2\n0 1:nan\n", "libsvm:%", "line 2, column 5: 'nan' is not a finite"},
           {"index.svm", "1 999999999999:1\n", "libsvm:%", "line 1, column 3: index"},
           {"magic.npy", "NUMPY" + npy("(2, 2)", std::string(16, '\0')), as_features,
            "byte 0: wrong magic number"},
           {"short.npy", npy("(2, 2)", std::string(12, '\0')), as_features,
            "header: shape (2, 2) needs 16 bytes, the file holds 12"},
           {"huge.npy", npy("(999999999999999, 999999999)", "x"), as_features, "header: shape"},
           {"nan.npy", npy("(2, 1)", "\0\0\xC0\x7F\0\0\0\0"s), as_features,
            "row 1, column 1: expected a finite number"},
           {"deep.npy", npy("(1, 1, 1, 1, 1)", "xxxx"), as_features, "header: shape"},
           {"label.bin", std::string(3073, '\x0B'), "cifar10:%", "byte 0: record 1 has label 11"},
           {"short.bin", std::string(3000, '\0'), "cifar10:%", "byte 0: a record of 3073 bytes"},
       }) {
    expect_refusal(bad);
  }
  const std::string rows = folder_.write("x.npy", npy("(3, 1)", std::string(12, '\0')));
  expect_failure({{"train", "--data", "npy:" + rows + "," + labels},
                  3,
                  labels + ": header: 2 labels, expected 3 as there are rows in"});
}

TEST_F(BadData, of_a_test_part_that_does_not_fit_the_training_part) {
  const std::string train = folder_.write("train.csv", "a,b,label\n1,2,x\n3,4,y\n5,6,x\n");
  const auto refusal = [&](const std::string& content, const std::string& says) {
    const std::string test = folder_.write("test.csv", content);
    const Words words = {"train", "--data", "csv:" + train, "--test-data", "csv:" + test};
    expect_failure({words, 3, test + ": " + says});
  };
  refusal("a,b,label\n1,2,z\n", "row 1: label 'z' is not one of the 2 known classes (x, y)");
  refusal("a,c,label\n1,2,x\n", "line 1: feature 2 is 'c', expected 'b'");
  refusal("a,b,c,label\n1,2,3,x\n", "has 3 features, expected 2");
}

TEST_F(BadData, of_a_failed_run_leaves_no_model_behind) {
  const std::string bad = folder_.write("bad.csv", "1,2,0\n1,1\n");
  const std::string out = folder_.file("run");
  expect_failure({{"train", "--data", "csv:" + bad, "--out", out, "--overwrite"}, 3, bad});
  for (const auto& entry : std::filesystem::directory_iterator(out)) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == "config.toml" || name == "result.json") << name;
  }
}

}  // namespace
}  // namespace lockstep::testing
