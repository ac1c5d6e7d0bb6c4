#include "data/spec.h"

#include "files.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(Spec, names_formats_with_their_files) {
  EXPECT_EQ(parse_spec("digits").format, DataFormat::digits);
  EXPECT_THAT(parse_spec("mnist").paths, IsEmpty());
  EXPECT_THAT(parse_spec("mnist:/some/folder,1").paths, ElementsAre("/some/folder,1"));
  EXPECT_THAT(parse_spec("cifar10:../x").paths, ElementsAre("../x"));
  EXPECT_THAT(parse_spec("idx:a,b").paths, ElementsAre("a", "b"));
  EXPECT_THAT(parse_spec("npy:x.npy").paths, ElementsAre("x.npy"));
  EXPECT_THAT(parse_spec("libsvm:C:/a,b").paths, ElementsAre("C:/a,b"));
}

TEST(Spec, expands_the_home_folder) {
  const ScopedVariable home("HOME", "/home/someone");
  EXPECT_THAT(parse_spec("idx:~/a,~/b").paths, ElementsAre("/home/someone/a", "/home/someone/b"));
  EXPECT_THAT(parse_spec("mnist:~").paths, ElementsAre("~"));
}

TEST(Spec, takes_options_off_the_end) {
  const DataSpec csv = parse_spec("csv:a,b.csv,label=x y,header=no,sep=,");
  EXPECT_THAT(csv.paths, ElementsAre("a,b.csv"));
  EXPECT_THAT(csv.options,
              ElementsAre(Pair("header", "no"), Pair("label", "x y"), Pair("sep", ",")));
  EXPECT_THAT(parse_spec("csv:f,sep=,,label=1").options,
              ElementsAre(Pair("label", "1"), Pair("sep", ",")));
  EXPECT_THAT(parse_spec("csv:f,sep=,label=1").options,
              ElementsAre(Pair("label", "1"), Pair("sep", ",")));
  EXPECT_THAT(parse_spec("csv:f,sep=;").options, ElementsAre(Pair("sep", ";")));
  EXPECT_THAT(parse_spec("csv:key=value.csv").paths, ElementsAre("key=value.csv"));
  EXPECT_THAT(parse_spec("synthetic:n=5,d=2").options, ElementsAre(Pair("d", "2"), Pair("n", "5")));
}

TEST(Spec, prefers_the_comma_that_leaves_two_existing_files) {
  const TemporaryFolder folder;
  const std::string x = folder.write("a,b.npy", "x");
  const std::string y = folder.write("c,d.npy", "y");
  EXPECT_THAT(parse_spec("npy:" + x + "," + y).paths, ElementsAre(x, y));
}

TEST(Spec, refuses_what_it_does_not_know_and_says_what_it_does) {
  for (const char* spec : {"", "mnits", "idx", "idx:", "idx:a,", "csv:", "csv:,label=x", "digits:x",
                           "csv:f,labels=x", "libsvm:f,base=0,base=1", "train.csv", "x.npy"}) {
    const Error error = error_of([&] { parse_spec(spec); });
    EXPECT_EQ(error.kind(), ErrorKind::usage) << spec;
    EXPECT_THAT(error.what(), HasSubstr(std::string("'") + spec + "'"));
    EXPECT_NE(error.remedy(), "") << spec;
  }
  EXPECT_THAT(error_of([] { parse_spec("mnits"); }).remedy(),
              AllOf(HasSubstr("mnist"), HasSubstr("csv:")));
  EXPECT_EQ(error_of([] { parse_spec("data/train.csv"); }).remedy(), "write csv:data/train.csv");
}

}  // namespace
}  // namespace lockstep
