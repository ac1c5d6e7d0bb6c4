#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Cifar, round_trips_a_folder_of_batches) {
  const TemporaryFolder folder;
  folder.write("data_batch_1.bin", cifar_records(7));
  folder.write("data_batch_3.bin", cifar_records(5, 7));
  folder.write("test_batch.bin", cifar_records(3, 100));
  const Dataset data = load("cifar10:" + folder.path());
  EXPECT_EQ(data.train.size(), 12);
  EXPECT_EQ(data.features(), 3072);
  EXPECT_EQ(data.train.features.type, FeatureType::uint8);
  EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1));
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < 3072; ++j) {
      ASSERT_EQ(data.train.features.byte_row(i)[j], (i + j) % 251);
    }
  }
  ASSERT_TRUE(data.test);
  EXPECT_THAT(data.test->labels, ElementsAre(0, 1, 2));
  EXPECT_EQ(data.class_names[3], "cat");
  EXPECT_EQ(data.image->channels, 3);
}

TEST(Cifar, takes_one_file_or_the_folder_inside_the_archive) {
  const TemporaryFolder folder;
  const std::string file = folder.write("any_name.bin", cifar_records(2));
  EXPECT_EQ(load("cifar10:" + file).train.size(), 2);
  folder.write("cifar-10-batches-bin/data_batch_2.bin", cifar_records(4));
  EXPECT_EQ(load("cifar10:" + folder.path()).train.size(), 4);
}

TEST(Cifar, names_the_byte_of_a_label_out_of_range) {
  const TemporaryFolder folder;
  std::string records = cifar_records(3);
  records[3073] = 10;
  const std::string file = folder.write("data_batch_1.bin", records);
  EXPECT_THAT(load_error("cifar10:" + folder.path()),
              AllOf(HasSubstr(file), HasSubstr("byte 3073"), HasSubstr("label 10")));
}

TEST(Cifar, refuses_a_truncated_record_and_an_empty_file) {
  const TemporaryFolder folder;
  const std::string file = folder.write("data_batch_1.bin", cifar_records(2).substr(0, 4000));
  EXPECT_THAT(load_error("cifar10:" + folder.path()),
              AllOf(HasSubstr(file), HasSubstr("byte 3073"), HasSubstr("after 927")));
  folder.write("data_batch_1.bin", "");
  EXPECT_THAT(load_error("cifar10:" + folder.path()), HasSubstr("empty"));
}

TEST(Cifar, that_is_absent_names_the_fetch_command_and_the_folders) {
  const TemporaryFolder root;
  const ScopedVariable data("LOCKSTEP_DATA", root.path().c_str());
  const Error error = error_of([] { load("cifar10"); });
  EXPECT_EQ(error.kind(), ErrorKind::data);
  EXPECT_THAT(error.what(), AllOf(HasSubstr(root.path("cifar10")), HasSubstr("data/cifar10")));
  EXPECT_THAT(error.remedy(), HasSubstr("lockstep data fetch cifar10"));
}

}  // namespace
}  // namespace lockstep
