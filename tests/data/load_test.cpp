#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// A table whose one feature is the row's number and whose label is its parity.
std::string numbered(int rows) {
  std::string table = "row,label\n";
  for (int row = 0; row < rows; ++row) {
    table += std::to_string(row) + (row % 2 ? ",odd\n" : ",even\n");
  }
  return table;
}

class Loading : public testing::Test {
 protected:
  Loading() { config_.data = "csv:" + folder_.write("numbered.csv", numbered(100)); }
  static std::set<float> rows_of(const Split& split) {
    const auto values = values_of(split);
    return {values.begin(), values.end()};
  }
  static void expect_labels_belong(const Split& split) {
    for (int64_t i = 0; i < split.size(); ++i) {
      EXPECT_EQ(split.labels[i], static_cast<int>(split.features.float_row(i)[0]) % 2);
    }
  }
  TemporaryFolder folder_;
  DataConfig config_;
};

TEST_F(Loading, splits_off_a_test_part_by_seed) {
  config_.test_fraction = 0.2;
  const Dataset data = load(config_, 1);
  ASSERT_TRUE(data.test);
  EXPECT_EQ(data.train.size(), 80);
  EXPECT_EQ(data.test->size(), 20);
  std::set<float> all = rows_of(data.train);
  all.merge(rows_of(*data.test));
  EXPECT_THAT(all, SizeIs(100)) << "no row is lost or in both";
  expect_labels_belong(data.train);
  expect_labels_belong(*data.test);
  EXPECT_EQ(values_of(load(config_, 1).train), values_of(data.train)) << "stable";
  EXPECT_NE(rows_of(*load(config_, 2).test), rows_of(*data.test));
}

TEST_F(Loading, keeps_most_rows_in_place_when_it_splits) {
  config_.test_fraction = 0.2;
  const std::vector<float> rows = values_of(load(config_, 3).train);
  int in_place = 0;
  for (size_t i = 0; i < rows.size(); ++i) in_place += rows[i] == static_cast<float>(i);
  EXPECT_GE(in_place, 60) << "of 80";
}

TEST_F(Loading, splits_any_fraction_into_two_parts_that_are_not_empty) {
  for (double fraction : {0.001, 0.33, 0.5, 0.9, 0.999}) {
    config_.test_fraction = fraction;
    const Dataset data = load(config_, 5);
    EXPECT_GE(data.train.size(), 1);
    EXPECT_GE(data.test->size(), 1);
    std::set<float> all = rows_of(data.train);
    all.merge(rows_of(*data.test));
    EXPECT_THAT(all, SizeIs(100)) << fraction;
    expect_labels_belong(*data.test);
  }
}

// A mapped file is split on private pages: the file itself stays as it is.
TEST_F(Loading, splits_mapped_data_as_it_splits_resident_data) {
  const ScopedVariable cache("LOCKSTEP_DATA", folder_.path().c_str());
  std::string pixels(5000 * 3, '\0');
  std::iota(pixels.begin(), pixels.end(), '\0');
  const std::string file = folder_.write("x.npy", npy("|u1", false, "(5000, 3)", pixels));
  config_.data = "npy:" + file;
  config_.test_fraction = 0.3;
  const Dataset resident = load_dataset(config_, 1, kReadAll);
  const Dataset mapped = load_dataset(config_, 1, kMapAll);
  EXPECT_TRUE(mapped.train.features.mapped);
  EXPECT_EQ(values_of(mapped.train), values_of(resident.train));
  EXPECT_EQ(values_of(*mapped.test), values_of(*resident.test));
  EXPECT_EQ(mapped.sha256, resident.sha256);
  config_.test_fraction = 0.0;
  EXPECT_EQ(values_of(load_dataset(config_, 1, kReadAll).train)[7], 7.0f);
}

TEST_F(Loading, takes_the_first_samples_after_the_split) {
  config_.samples = 10;
  EXPECT_THAT(values_of(load(config_).train), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  config_.test_fraction = 0.5;
  const Dataset data = load(config_);
  EXPECT_EQ(data.train.size(), 10);
  EXPECT_EQ(data.test->size(), 50);
  config_.samples = 1000;
  EXPECT_EQ(load(config_).train.size(), 50);
}

TEST_F(Loading, knows_classes_that_the_first_samples_lack) {
  config_.samples = 1;
  const Dataset data = load(config_);
  EXPECT_THAT(data.class_names, ElementsAre("even", "odd"));
  EXPECT_THAT(describe(data).train_counts, ElementsAre(1, 0));
}

TEST_F(Loading, prefers_the_split_to_the_datas_own_test_part) {
  config_.data = "digits";
  config_.test_fraction = 0.25;
  const Dataset data = load(config_);
  EXPECT_EQ(data.train.size() + data.test->size(), 1438);
}

TEST_F(Loading, takes_the_test_part_of_a_set_that_has_one) {
  config_.data = "digits";
  config_.test_data = "digits";
  EXPECT_EQ(load(config_).test->size(), 359);
}

TEST_F(Loading, refuses_combinations_that_cannot_be) {
  config_.test_fraction = 0.2;
  config_.test_data = config_.data;
  EXPECT_EQ(error_of([&] { load(config_); }).kind(), ErrorKind::usage);
  config_.test_data = "";
  for (double fraction : {-0.1, 1.0, 2.0, std::nan("")}) {
    config_.test_fraction = fraction;
    EXPECT_EQ(error_of([&] { load(config_); }).kind(), ErrorKind::usage) << fraction;
  }
  config_.test_fraction = 0.0;
  config_.samples = -1;
  EXPECT_EQ(error_of([&] { load(config_); }).kind(), ErrorKind::usage);
}

TEST_F(Loading, refuses_a_test_part_without_labels_or_with_other_ones) {
  config_.test_data = "csv:" + folder_.write("t.csv", "row,label\n1,odd\n2,third\n");
  EXPECT_THAT(
      error_of([&] { load(config_); }).what(),
      AllOf(HasSubstr("t.csv"), HasSubstr("row 2"), HasSubstr("'third'"), HasSubstr("even, odd")));
  config_.test_data = "csv:" + folder_.write("t.csv", "1\n2\n") + ",label=none";
  EXPECT_THAT(error_of([&] { load(config_); }).what(), HasSubstr("no labels"));
}

TEST_F(Loading, hashes_values_not_files) {
  const std::string before = load(config_).sha256;
  config_.data = "csv:" + folder_.write("same.csv", "\n" + numbered(100) + "\n");
  EXPECT_EQ(load(config_).sha256, before);
  std::string other = numbered(100);
  other[other.find("50,")] = '6';
  config_.data = "csv:" + folder_.write("other.csv", other);
  EXPECT_NE(load(config_).sha256, before);
}

TEST_F(Loading, describes_what_it_loaded) {
  config_.test_fraction = 0.1;
  const DataInfo info = describe(load(config_));
  EXPECT_EQ(info.train_rows, 90);
  EXPECT_EQ(info.test_rows, 10);
  EXPECT_EQ(info.features, 1);
  EXPECT_EQ(info.feature_type, "float32");
  EXPECT_THAT(info.class_names, ElementsAre("even", "odd"));
  EXPECT_EQ(info.train_counts[0] + info.train_counts[1], 90);
  EXPECT_EQ(info.test_counts[0] + info.test_counts[1], 10);
  EXPECT_EQ(info.memory_bytes, 100 * (4 + 4));
  EXPECT_EQ(info.mapped_bytes, 0);
  EXPECT_EQ(info.normalization, "none");
  EXPECT_THAT(info.sha256, SizeIs(64));
  EXPECT_THAT(info.label_note, AllOf(HasSubstr("'label'"), HasSubstr("10 rows set aside")));
}

// A digest that was remembered must not outlive a change of the file.
TEST_F(Loading, forgets_the_digest_of_a_mapped_file_that_changed) {
  const ScopedVariable cache("LOCKSTEP_DATA", folder_.path().c_str());
  const std::string file = folder_.write("x.npy", npy("|u1", false, "(2, 2)", "abcd"));
  config_.data = "npy:" + file;
  const std::string before = load_dataset(config_, 1, kMapAll).sha256;
  EXPECT_FALSE(std::filesystem::is_empty(folder_.path("digests")));
  folder_.write("x.npy", npy("|u1", false, "(2, 2)", "abce"));
  std::filesystem::last_write_time(
      file, std::filesystem::file_time_type::clock::now() + std::chrono::seconds(2));
  const std::string after = load_dataset(config_, 1, kMapAll).sha256;
  EXPECT_NE(after, before);
  EXPECT_EQ(after, load_dataset(config_, 1, kReadAll).sha256);
}

class LoadingForModel : public Loading {
 protected:
  LoadingForModel() {
    contract_.features = 1;
    contract_.class_names = {"even", "odd"};
    contract_.normalization.kind = Normalize::standard;
    contract_.normalization.scale = {0.5f};
    contract_.normalization.offset = {-1.0f};
  }
  std::string table(const std::string& text) { return "csv:" + folder_.write("new.csv", text); }
  DataContract contract_;
};

TEST_F(LoadingForModel, applies_the_models_classes_and_normalisation) {
  const Dataset data = load_for_model(table("row,label\n3,odd\n5,odd\n"), contract_, true);
  EXPECT_THAT(data.train.labels, ElementsAre(1, 1)) << "even where a class is absent";
  EXPECT_EQ(data.classes, 2);
  EXPECT_THAT(data.normalization.scale, ElementsAre(0.5f));
  EXPECT_FALSE(data.test);
}

TEST_F(LoadingForModel, needs_labels_to_evaluate) {
  EXPECT_THAT(
      error_of([&] { load_for_model(table("1\n2\n") + ",label=none", contract_, true); }).what(),
      HasSubstr("no labels"));
  EXPECT_THAT(
      error_of([&] { load_for_model(table("row,label\n3,big\n"), contract_, true); }).what(),
      AllOf(HasSubstr("row 1"), HasSubstr("'big'")));
}

TEST_F(LoadingForModel, predicts_without_labels_or_with_unknown_ones) {
  const Dataset bare = load_for_model(table("1\n2\n"), contract_, false);
  EXPECT_EQ(bare.train.size(), 2);
  EXPECT_TRUE(bare.train.labels.empty());
  EXPECT_TRUE(load_for_model(table("1,2.5\n2,7\n"), contract_, false).train.labels.empty());
  EXPECT_THAT(load_for_model(table("1,odd\n2,even\n"), contract_, false).train.labels,
              ElementsAre(1, 0));
}

TEST_F(LoadingForModel, refuses_other_columns) {
  EXPECT_THAT(error_of([&] { load_for_model(table("1,2,odd\n"), contract_, true); }).what(),
              AllOf(HasSubstr("new.csv"), HasSubstr("2 features, expected 1")));
  EXPECT_THAT(error_of([&] { load_for_model("digits", contract_, true); }).what(),
              HasSubstr("64 features, expected 1"));
}

TEST_F(LoadingForModel, takes_the_test_part_of_sets_that_have_one) {
  contract_.features = 64;
  contract_.class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  EXPECT_EQ(load_for_model("digits", contract_, true).train.size(), 359);
}

// The four files of a small MNIST.
void write_mnist(const TemporaryFolder& folder, const std::string& inside, bool compressed) {
  const auto write = [&](const std::string& name, const std::string& bytes) {
    folder.write(inside + name + (compressed ? ".gz" : ""), compressed ? gzipped(bytes) : bytes);
  };
  write("train-images-idx3-ubyte", idx(8, {3, 2, 2}, "abcdefghijkl"));
  write("train-labels-idx1-ubyte", idx(8, {3}, {"\7\0\7", 3}));
  write("t10k-images-idx3-ubyte", idx(8, {1, 2, 2}, "wxyz"));
  write("t10k-labels-idx1-ubyte", idx(8, {1}, "\1"));
}

TEST(Mnist, is_found_plain_or_compressed_where_it_is_looked_for) {
  const TemporaryFolder root;
  const ScopedVariable data("LOCKSTEP_DATA", root.path().c_str());
  for (bool compressed : {true, false}) {
    root.write("mnist/x", "");
    std::filesystem::remove_all(root.path("mnist"));
    write_mnist(root, "mnist/", compressed);
    for (const std::string& spec : {std::string("mnist"), "mnist:" + root.path("mnist")}) {
      const Dataset set = load(spec);
      EXPECT_EQ(set.train.size(), 3);
      EXPECT_EQ(set.classes, 10) << "all digits, seen or not";
      EXPECT_THAT(set.test->labels, ElementsAre(1));
      EXPECT_THAT(values_of(*set.test), ElementsAre('w', 'x', 'y', 'z'));
    }
  }
}

TEST(Mnist, that_is_absent_names_the_fetch_command_the_folders_and_what_is_missing) {
  const TemporaryFolder root;
  const ScopedVariable data("LOCKSTEP_DATA", root.path().c_str());
  Error error = error_of([] { load("mnist"); });
  EXPECT_EQ(error.kind(), ErrorKind::data);
  EXPECT_THAT(error.what(), AllOf(HasSubstr(root.path("mnist")), HasSubstr("data/mnist")));
  EXPECT_THAT(error.remedy(), HasSubstr("lockstep data fetch mnist"));

  write_mnist(root, "mnist/", true);
  std::filesystem::remove(root.path("mnist/t10k-labels-idx1-ubyte.gz"));
  EXPECT_THAT(error_of([] { load("mnist"); }).what(), HasSubstr("lacks t10k-labels-idx1-ubyte"));
}

TEST(Mnist, refuses_labels_that_are_no_digits_and_parts_that_differ) {
  const TemporaryFolder root;
  write_mnist(root, "", true);
  root.write("train-labels-idx1-ubyte.gz", gzipped(idx(8, {3}, "\1\12\1")));
  EXPECT_THAT(load_error("mnist:" + root.path()), AllOf(HasSubstr("row 2"), HasSubstr("'10'")));
  write_mnist(root, "", true);
  root.write("t10k-images-idx3-ubyte.gz", gzipped(idx(8, {1, 1, 2}, "wx")));
  EXPECT_THAT(load_error("mnist:" + root.path()), HasSubstr("2 features, expected 4"));
}

TEST(DataFolders, follow_the_environment) {
  {
    const ScopedVariable data("LOCKSTEP_DATA", "/somewhere");
    EXPECT_THAT(data_folders("mnist"), ElementsAre("/somewhere/mnist", "data/mnist"));
  }
  const ScopedVariable data("LOCKSTEP_DATA", nullptr);
  const ScopedVariable home("HOME", "/home/someone");
  EXPECT_THAT(data_folders("mnist"),
              ElementsAre("/home/someone/.cache/lockstep/mnist", "data/mnist"));
}

TEST(RealMnist, has_its_known_content) {
  const std::string folder = real_data_folder("mnist");
  if (folder.empty()) GTEST_SKIP() << "MNIST IS ABSENT: run `lockstep data fetch mnist`";
  const Dataset data = load("mnist:" + folder);
  EXPECT_EQ(data.train.size(), 60000);
  EXPECT_EQ(data.test->size(), 10000);
  // Python: sha256 of the images, then the labels as int32, of both parts.
  EXPECT_EQ(data.sha256, "bab833be44432887b8367c256dc3f6f37f73632c1eabcb1cbc894e04f779a312");
  EXPECT_EQ(data.train.labels[0], 5);
}

TEST(RealCifar10, has_images_of_all_classes) {
  const std::string folder = real_data_folder("cifar10");
  const TemporaryFolder unpacked;
  const std::string file = unpacked.path("data_batch_1.bin");
  const std::string command = "xz -dc '" + folder + "/data_batch_1.bin.xz' > '" + file + "'";
  if (folder.empty() || std::system(command.c_str()) != 0) {
    GTEST_SKIP() << "CIFAR-10 OR XZ IS ABSENT: the real images are not tested";
  }
  const Dataset data = load("cifar10:" + unpacked.path());
  EXPECT_EQ(data.train.size(), 10000);
  EXPECT_THAT(describe(data).train_counts,
              ElementsAre(1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981));
}

}  // namespace
}  // namespace lockstep
