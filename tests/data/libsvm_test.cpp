#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Libsvm : public testing::Test {
 protected:
  std::string spec(const std::string& text, const std::string& name = "train") {
    return "libsvm:" + folder_.write(name, text);
  }
  DataConfig with_test(const std::string& train, const std::string& test) {
    DataConfig config;
    config.data = spec(train);
    config.test_data = spec(test, "test");
    return config;
  }
  TemporaryFolder folder_;
};

TEST_F(Libsvm, round_trips_sparse_rows_as_dense_float32) {
  const Dataset data = load(spec("+1 1:0.5 3:-2e1\n-1 2:1 # a comment\n\n  +1  \r\n-1 3:+.25"));
  EXPECT_EQ(data.features(), 3);
  EXPECT_THAT(values_of(data.train), ElementsAre(0.5f, 0, -20, 0, 1, 0, 0, 0, 0, 0, 0, 0.25f));
  EXPECT_THAT(data.class_names, ElementsAre("-1", "1"));
  EXPECT_THAT(data.train.labels, ElementsAre(1, 0, 1, 0));
}

TEST_F(Libsvm, counts_columns_from_0_when_index_0_occurs) {
  EXPECT_THAT(values_of(load(spec("1 0:7 1:8\n2 1:9")).train), ElementsAre(7, 8, 0, 9));
  EXPECT_EQ(load(spec("1 1:8\n2 1:9")).features(), 1);
  EXPECT_EQ(load(spec("1 1:8\n2 1:9") + ",base=0").features(), 2);
  EXPECT_THAT(load_error(spec("1 0:8\n2 1:9") + ",base=1"), HasSubstr("index 0"));
}

TEST_F(Libsvm, fills_columns_that_the_test_part_lacks_and_refuses_more) {
  const Dataset data = load(with_test("1 1:1 3:3\n2 2:2", "2 1:5\n"));
  EXPECT_THAT(values_of(*data.test), ElementsAre(5, 0, 0));
  EXPECT_THAT(data.test->labels, ElementsAre(1));

  const Error error = error_of([&] { load(with_test("1 1:1 3:3\n2 2:2", "1 1:1\n2 4:2\n")); });
  EXPECT_EQ(error.kind(), ErrorKind::data);
  EXPECT_THAT(error.what(), AllOf(HasSubstr(folder_.path("test")), HasSubstr("index 4"),
                                  HasSubstr("3 features")));
}

TEST_F(Libsvm, reads_the_test_part_from_the_training_parts_first_index) {
  const Dataset data = load(with_test("1 0:1 2:3\n2 1:2", "2 1:5\n"));
  EXPECT_THAT(values_of(*data.test), ElementsAre(0, 5, 0));
}

TEST_F(Libsvm, names_row_and_label_of_a_test_label_unseen_in_training) {
  const Error error = error_of([&] { load(with_test("1 1:1\n2 1:2", "1 1:1\n3 1:2\n")); });
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr(folder_.path("test")), HasSubstr("row 2"), HasSubstr("'3'")));
}

struct BadLine {
  const char* text;
  const char* place;
  const char* problem;
};

TEST_F(Libsvm, names_line_and_column_of_bad_input) {
  for (const BadLine& bad : {
           BadLine{"1 1:1\nx 1:2\n", "line 2, column 1", "'x' is not a number"},
           BadLine{"1 1:1\n1 1:abc\n", "line 2, column 5", "'abc' is not a number"},
           BadLine{"1 1:1\n1 one:2\n", "line 2, column 3", "expected INDEX:VALUE"},
           BadLine{"1 1:1 2\n", "line 1, column 7", "expected INDEX:VALUE"},
           BadLine{"1 1:nan\n", "line 1, column 5", "not a finite"},
           BadLine{"1 1:inf\n", "line 1, column 5", "not a finite"},
           BadLine{"1 1:1e99\n", "line 1, column 5", "not a finite"},
           BadLine{"1 1:\n", "line 1, column 5", "empty"},
           BadLine{"1 2:1 1:1\n", "line 1, column 7", "index 1 follows 2"},
           BadLine{"1 2:1 2:1\n", "line 1, column 7", "index 2 follows 2"},
           BadLine{"1 -2:1\n", "line 1, column 3", "out of range"},
           BadLine{"1 99999999999:1\n", "line 1, column 3", "out of range"},
           BadLine{"nan 1:1\n", "line 1, column 1", "label 'nan'"},
       }) {
    EXPECT_THAT(load_error(spec(bad.text)), AllOf(HasSubstr(folder_.path("train")),
                                                  HasSubstr(bad.place), HasSubstr(bad.problem)))
        << bad.text;
  }
}

TEST_F(Libsvm, takes_tiny_numbers_for_zero) {
  EXPECT_THAT(values_of(load(spec("1 1:1e-99\n2 1:1")).train), ElementsAre(0, 1));
}

TEST_F(Libsvm, refuses_files_without_rows_or_features) {
  EXPECT_THAT(load_error(spec("\n# nothing\n")), HasSubstr("no rows"));
  EXPECT_THAT(load_error(spec("1\n2\n")), HasSubstr("no features"));
  EXPECT_THAT(load_error(spec(gzipped("1 1:1"))), HasSubstr("gzip"));
  EXPECT_THAT(load_error(spec(std::string("1 1:1\0\0", 7))), HasSubstr("byte 5"));
}

// Three short lines ask for 2^31 columns each: refused with the size, not tried.
TEST_F(Libsvm, refuses_what_would_not_fit_with_the_size_it_needs) {
  std::string text;
  for (int row = 0; row < 3000; ++row) text += "1 1:1 2147483647:1\n2 1:1\n";
  EXPECT_THAT(load_error(spec(text)), AllOf(HasSubstr("needs 51.5 TB"), HasSubstr("available")));
}

}  // namespace
}  // namespace lockstep
