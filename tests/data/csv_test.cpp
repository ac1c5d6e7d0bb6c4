#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Csv : public testing::Test {
 protected:
  std::string spec(const std::string& text, const std::string& options = "",
                   const std::string& name = "train.csv") {
    return "csv:" + folder_.write(name, text) + options;
  }
  TemporaryFolder folder_;
};

TEST_F(Csv, round_trips_numbers_and_text_classes) {
  const Dataset data = load(spec("5.1,3.5,setosa\n4.9,-3e-1,virginica\n 6 , +.5 ,setosa\n"));
  EXPECT_THAT(values_of(data.train), ElementsAre(5.1f, 3.5f, 4.9f, -0.3f, 6, 0.5f));
  EXPECT_THAT(data.class_names, ElementsAre("setosa", "virginica"));
  EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 0));
  EXPECT_EQ(data.label_note, "label: column 3 of 3, no header");
}

TEST_F(Csv, takes_the_usual_names_of_a_label_else_the_last_column) {
  const auto labels_with = [&](const std::string& header) {
    return load(spec(header + "\n1,2,3\n4,5,6\n")).class_names;
  };
  EXPECT_THAT(labels_with("a,b,c"), ElementsAre("3", "6"));
  EXPECT_THAT(labels_with("a,label,c"), ElementsAre("2", "5"));
  EXPECT_THAT(labels_with("Target,b,c"), ElementsAre("1", "4"));
  EXPECT_THAT(labels_with("a,CLASS,c"), ElementsAre("2", "5"));
  EXPECT_THAT(labels_with("y,b,c"), ElementsAre("1", "4"));
  EXPECT_THAT(labels_with("y,target,c"), ElementsAre("2", "5")) << "target goes before y";
  EXPECT_EQ(load(spec("a,label,c\n1,2,3\n4,5,6\n")).label_note, "label: column 'label' (2 of 3)");
}

TEST_F(Csv, takes_the_label_column_that_is_chosen) {
  const std::string text = "a,b,7\n1,2,3\n4,5,6\n";
  EXPECT_THAT(load(spec(text, ",label=a")).class_names, ElementsAre("1", "4"));
  EXPECT_THAT(load(spec(text, ",label=1")).class_names, ElementsAre("2", "5"));
  EXPECT_THAT(load(spec(text, ",label=-3")).class_names, ElementsAre("1", "4"));
  EXPECT_THAT(load(spec(text, ",label=7")).class_names, ElementsAre("3", "6")) << "a name first";
  EXPECT_THAT(load_error(spec(text, ",label=z")), AllOf(HasSubstr("'z'"), HasSubstr("a, b, 7")));
  EXPECT_THAT(load_error(spec("1,2\n3,4\n", ",label=2")), HasSubstr("'2'"));

  const Dataset unlabelled = load(spec(text, ",label=none"));
  EXPECT_EQ(unlabelled.features(), 3);
  EXPECT_EQ(unlabelled.classes, 0);
  EXPECT_TRUE(unlabelled.train.labels.empty());
}

TEST_F(Csv, finds_out_whether_there_is_a_header) {
  EXPECT_EQ(load(spec("a,b,c\n1,2,x\n3,4,y\n")).train.size(), 2);
  EXPECT_EQ(load(spec("1,2,x\n3,4,y\n")).train.size(), 2) << "a text label is no header";
  EXPECT_EQ(load(spec("1,2,3\n3,4,5\n6,7,8\n", ",header=yes")).train.size(), 2);
  EXPECT_THAT(load_error(spec("a,b\n1,2\n3,4\n", ",header=no")), HasSubstr("line 1, column 1"));
  EXPECT_EQ(error_of([&] { load(spec("1,2\n", ",header=maybe")); }).kind(), ErrorKind::usage);
}

TEST_F(Csv, reads_quoted_fields) {
  const Dataset data =
      load(spec("\"a,1\",\"b \"\"x\"\"\",class\n\"1\",\"2\",\"red, or\nblue\"\n3, \"4\" ,"
                "\"say \"\"hi\"\"\"\n"));
  EXPECT_THAT(values_of(data.train), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(data.class_names, ElementsAre("red, or\nblue", "say \"hi\""));
}

TEST_F(Csv, takes_crlf_blank_lines_a_byte_order_mark_and_no_last_line_end) {
  const Dataset data =
      load(spec("\xEF\xBB\xBF"
                "a,b\r\n\r\n1,2\r\n\n3,\"4\"\r\n\r\n5,6"));
  EXPECT_THAT(values_of(data.train), ElementsAre(1, 3, 5));
  EXPECT_THAT(data.class_names, ElementsAre("2", "4", "6"));
}

TEST_F(Csv, takes_other_separators) {
  EXPECT_THAT(values_of(load(spec("1;2\n3;4\n", ",sep=;")).train), ElementsAre(1, 3));
  EXPECT_THAT(values_of(load(spec("1\t2\n3\t4\n", ",sep=tab")).train), ElementsAre(1, 3));
  EXPECT_THAT(values_of(load(spec("1,2\n3,4\n", ",sep=,,header=no")).train), ElementsAre(1, 3));
  EXPECT_THAT(load_error(spec("1;2\n3;4\n")), HasSubstr("one column only"));
  EXPECT_EQ(error_of([&] { load(spec("1;2\n", ",sep=ab")); }).kind(), ErrorKind::usage);
}

TEST_F(Csv, maps_labels_in_numeric_order) {
  const Dataset data = load(spec("0,10\n0,2\n0,+1\n0,2.0\n0,-3\n"));
  EXPECT_THAT(data.class_names, ElementsAre("-3", "1", "2", "10"));
  EXPECT_THAT(data.train.labels, ElementsAre(3, 2, 1, 2, 0));
}

TEST_F(Csv, reads_a_test_file_as_the_training_file) {
  DataConfig config;
  config.data = spec("a,kind,b\n1,x,2\n3,y,4\n", ",label=kind");
  config.test_data = spec("a,kind,b\n5,y,6\n", "", "test.csv");
  const Dataset data = load(config);
  EXPECT_THAT(values_of(*data.test), ElementsAre(5, 6));
  EXPECT_THAT(data.test->labels, ElementsAre(1));

  config.test_data = spec("b,kind,a\n5,y,6\n", "", "test.csv");
  EXPECT_THAT(error_of([&] { load(config); }).what(),
              AllOf(HasSubstr("'b'"), HasSubstr("expected 'a'")));
  config.test_data = spec("a,kind\n5,y\n", "", "test.csv");
  EXPECT_THAT(error_of([&] { load(config); }).what(),
              AllOf(HasSubstr(folder_.path("test.csv")), HasSubstr("1 features, expected 2")));
}

struct BadTable {
  const char* text;
  const char* place;
  const char* problem;
};

TEST_F(Csv, names_line_and_column_of_bad_input) {
  for (const BadTable& bad : {
           BadTable{"1,2,0\n3,x,1\n", "line 2, column 2", "'x' is not a number"},
           BadTable{"a,b,c\n1,2,0\n3,,1\n", "line 3, column 2 ('b')", "empty"},
           BadTable{"1,2,0\n3,nan,1\n", "line 2, column 2", "not a finite"},
           BadTable{"1,2,0\n-inf,1,1\n", "line 2, column 1", "not a finite"},
           BadTable{"1,2,0\n3,4\n", "line 2", "2 fields, expected 3"},
           BadTable{"1,2,0\n3,4,5,6\n", "line 2", "4 fields, expected 3"},
           BadTable{"1,2,0\n3,4,\n", "line 2, column 3", "label is empty"},
           BadTable{"1,2,0\n3,\"4,1\n", "line 2, column 2", "not closed"},
           BadTable{"1,2,0\n3,\"4\"x,1\n", "line 2, column 2", "closing quote"},
           BadTable{"1,2,0\n\"1\n\",4,1\n", "line 2, column 1", "'1?' is not a number"},
           BadTable{"0,2,\"a\nb\"\n3,4,x y\n1,2z,0\n", "line 4, column 2", "'2z' is not a number"},
       }) {
    EXPECT_THAT(load_error(spec(bad.text)), AllOf(HasSubstr(folder_.path("train.csv")),
                                                  HasSubstr(bad.place), HasSubstr(bad.problem)))
        << bad.text;
  }
}

TEST_F(Csv, refuses_files_without_rows) {
  EXPECT_THAT(load_error(spec("")), HasSubstr("empty"));
  EXPECT_THAT(load_error(spec("\n\r\n")), HasSubstr("no rows"));
  EXPECT_THAT(load_error(spec("a,b,c\n")), HasSubstr("no rows"));
  EXPECT_THAT(load_error("csv:" + folder_.path("absent.csv")), HasSubstr("No such file"));
}

TEST_F(Csv, refuses_regression_targets) {
  EXPECT_THAT(load_error(spec("1,2\n1,3.25\n")), AllOf(HasSubstr("row 2"), HasSubstr("'3.25'")));
  std::string many;
  for (int row = 0; row <= 1000; ++row) many += "0," + std::to_string(row) + "\n";
  EXPECT_THAT(load_error(spec(many)), AllOf(HasSubstr("row 1001"), HasSubstr("at most 1000")));
  EXPECT_THAT(load_error(spec("1,2\n1,nan\n")), AllOf(HasSubstr("row 2"), HasSubstr("'nan'")));
}

TEST_F(Csv, refuses_data_of_a_single_class) {
  EXPECT_THAT(load_error(spec("1,a\n2,a\n")), HasSubstr("every label is 'a'"));
}

}  // namespace
}  // namespace lockstep
