#include "lockstep/fetch.h"

#include <openssl/evp.h>

#include <fstream>
#include <iterator>

#include "data/digest.h"
#include "data/fetch_plan.h"
#include "files.h"
#include "http_server.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string sha256(const std::string& text) {
  BackgroundDigest digest;
  digest.add(std::as_bytes(std::span(text)), nullptr);
  return digest.hex();
}

std::string md5(const std::string& text) {
  unsigned char value[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), value, &length, EVP_md5(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[value[i] >> 4];
    hex += kDigits[value[i] & 15];
  }
  return hex;
}

// One file of a made-up set, as MNIST's files are: gzip, with a checksum of the content.
class Fetching : public testing::Test {
 protected:
  Fetching() {
    uint32_t state = 1;  // text that hardly compresses
    for (int i = 0; i < 20'000; ++i) {
      state = state * 1664525u + 1013904223u;
      text_ += static_cast<char>(state >> 24);
    }
    served_ = gzipped(text_);
    plan_ = {"made-up",
             {},
             {{"file.gz",
               {Checksum::Kind::sha256_of_content, sha256(text_), text_.size()},
               1'000'000,
               {}}}};
    options_.folder = folder_.path("set");
  }

  FetchReport fetch_from(std::vector<std::string> sources) {
    options_.sources = std::move(sources);
    return fetch(plan_, options_);
  }
  std::string error_from(std::vector<std::string> sources) {
    const Error error = error_of([&] { fetch_from(std::move(sources)); });
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.remedy(), HasSubstr(folder_.path("set")));
    EXPECT_FALSE(std::filesystem::exists(target_)) << "a bad file got its final name";
    return error.what();
  }

  std::string text_, served_;
  TemporaryFolder folder_;
  std::string target_ = folder_.path("set/file.gz");
  std::string part_ = target_ + ".part";
  FetchPlan plan_;
  FetchOptions options_;
};

TEST_F(Fetching, brings_a_file_and_keeps_it) {
  const HttpServer server({{"/file.gz", {served_}}});
  const FetchReport report = fetch_from({server.url()});
  EXPECT_EQ(content_of(target_), served_);
  EXPECT_EQ(report.downloaded_bytes, static_cast<int64_t>(served_.size()));
  EXPECT_THAT(report.files, ElementsAre(target_));
  EXPECT_FALSE(std::filesystem::exists(part_));
  EXPECT_EQ(fetch_from({server.url()}).downloaded_bytes, 0);
  EXPECT_THAT(server.requests(), ElementsAre("/file.gz"));
}

TEST_F(Fetching, resumes_a_partial_file) {
  const HttpServer server({{"/file.gz", {served_}}});
  folder_.write("set/file.gz.part", served_.substr(0, 1000));
  const FetchReport report = fetch_from({server.url() + "/"});
  EXPECT_EQ(content_of(target_), served_);
  EXPECT_EQ(report.downloaded_bytes, static_cast<int64_t>(served_.size()) - 1000);
  EXPECT_THAT(server.requests(), ElementsAre("/file.gz from 1000"));
}

TEST_F(Fetching, asks_for_the_rest_when_a_connection_breaks) {
  const size_t piece = served_.size() / 3 + 1;
  const HttpServer server({{"/file.gz", {served_, 200, true, piece}}});
  fetch_from({server.url()});
  EXPECT_EQ(content_of(target_), served_);
  EXPECT_THAT(server.requests(), ElementsAre("/file.gz", "/file.gz from " + std::to_string(piece),
                                             "/file.gz from " + std::to_string(2 * piece)));
}

TEST_F(Fetching, starts_afresh_where_the_server_cannot_resume) {
  const HttpServer server({{"/file.gz", {served_, 200, false}}});
  folder_.write("set/file.gz.part", served_.substr(0, 1000));
  fetch_from({server.url()});
  EXPECT_EQ(content_of(target_), served_);
}

TEST_F(Fetching, starts_afresh_when_the_partial_file_is_wrong_or_too_long) {
  const HttpServer server({{"/file.gz", {served_}}});
  for (const std::string& wrong : {std::string(1000, 'x'), served_ + "more", served_ + served_}) {
    std::filesystem::remove(target_);
    folder_.write("set/file.gz.part", wrong);
    fetch_from({server.url()});
    EXPECT_EQ(content_of(target_), served_);
  }
}

TEST_F(Fetching, refuses_a_wrong_checksum) {
  const HttpServer server({{"/file.gz", {gzipped("z" + text_.substr(1))}}});
  EXPECT_THAT(error_from({server.url()}),
              AllOf(HasSubstr(server.url()), HasSubstr("SHA-256"), HasSubstr("expected")));
  EXPECT_FALSE(std::filesystem::exists(part_)) << "it would be resumed";
}

TEST_F(Fetching, refuses_content_that_is_no_gzip_or_too_long) {
  const HttpServer page({{"/file.gz", ServedFile{"<html>Log in to the network</html>"}}});
  EXPECT_THAT(error_from({page.url()}), HasSubstr("truncated"));
  const HttpServer longer({{"/file.gz", {gzipped(text_ + "x")}}});
  EXPECT_THAT(error_from({longer.url()}), HasSubstr("end"));
}

TEST_F(Fetching, cuts_off_a_server_that_sends_without_end) {
  plan_.files[0].largest = 5000;
  const HttpServer server({{"/file.gz", {served_}}});
  EXPECT_THAT(error_from({server.url()}), HasSubstr("more than 5000 bytes"));
}

TEST_F(Fetching, takes_the_second_source_when_the_first_has_nothing) {
  const HttpServer missing;
  const HttpServer broken({{"/file.gz", {"", 503}}});
  const HttpServer wrong({{"/file.gz", {gzipped("something else")}}});
  const HttpServer good({{"/file.gz", {served_}}});
  fetch_from({dead_url(), missing.url(), broken.url(), wrong.url(), good.url()});
  EXPECT_EQ(content_of(target_), served_);
}

TEST_F(Fetching, offline_names_each_source_and_its_reason) {
  const HttpServer missing;
  const std::string dead = dead_url();
  EXPECT_THAT(error_from({dead, missing.url()}),
              AllOf(HasSubstr(dead + "/file.gz: "), HasSubstr("onnect"),
                    HasSubstr(missing.url() + "/file.gz: HTTP 404")));
}

TEST_F(Fetching, replaces_a_file_that_is_damaged) {
  const HttpServer server({{"/file.gz", {served_}}});
  folder_.write("set/file.gz", "damaged");
  fetch_from({server.url()});
  EXPECT_EQ(content_of(target_), served_);
}

TEST_F(Fetching, reports_progress_and_can_be_stopped) {
  const HttpServer server({{"/file.gz", {served_}}});
  FetchProgress last;
  options_.progress = [&](const FetchProgress& progress) {
    last = progress;
    return true;
  };
  fetch_from({server.url()});
  EXPECT_EQ(last.file, "file.gz");
  EXPECT_EQ(last.bytes, static_cast<int64_t>(served_.size()));
  EXPECT_EQ(last.total, static_cast<int64_t>(served_.size()));

  std::filesystem::remove(target_);
  options_.progress = [](const FetchProgress&) { return false; };
  EXPECT_EQ(error_of([&] { fetch_from({server.url()}); }).kind(), ErrorKind::runtime);
  EXPECT_FALSE(std::filesystem::exists(target_));
}

TEST_F(Fetching, says_when_the_folder_cannot_be_made) {
  options_.folder = folder_.write("a file", "x") + "/set";
  const Error error = error_of([&] { fetch_from({dead_url()}); });
  EXPECT_EQ(error.kind(), ErrorKind::runtime);
  EXPECT_THAT(error.what(), HasSubstr("a file/set"));
}

TEST_F(Fetching, takes_its_sources_from_the_environment) {
  const HttpServer server({{"/file.gz", {served_}}});
  const ScopedVariable url("LOCKSTEP_DATA_URL", (dead_url() + "," + server.url()).c_str());
  fetch_from({});
  EXPECT_EQ(content_of(target_), served_);
}

// A ustar archive of one folder with the given files.
std::string tar(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string archive;
  for (const auto& [name, content] : files) {
    std::string header(512, '\0');
    header.replace(0, name.size(), name);
    char octal[13];
    std::snprintf(octal, sizeof(octal), "%011o", static_cast<unsigned>(content.size()));
    header.replace(124, 11, octal);
    header.replace(148, 8, "        ");
    unsigned sum = 0;
    for (unsigned char c : header) sum += c;
    std::snprintf(octal, sizeof(octal), "%06o", sum);
    header.replace(148, 7, std::string(octal) + '\0');
    archive += header + content + std::string((512 - content.size() % 512) % 512, '\0');
  }
  return archive + std::string(1024, '\0');
}

// An archive, as CIFAR-10's.
class FetchingArchives : public Fetching {
 protected:
  void serve(const std::string& archive) {
    served_ = archive;
    plan_.files = {{"set.tar.gz",
                    {Checksum::Kind::md5_of_file, md5(archive)},
                    1'000'000,
                    {{"one.bin", 700, "one.bin"}, {"two.bin", 1024, "two.bin"}}}};
    server_.serve("/set.tar.gz", {archive});
  }
  const std::string one_ = std::string(700, '1'), two_ = std::string(1024, '2');
  HttpServer server_;
};

TEST_F(FetchingArchives, unpacks_the_wanted_files_and_removes_the_archive) {
  serve(gzipped(tar({{"folder/", ""},
                     {"folder/readme.txt", "not wanted"},
                     {"folder/one.bin", one_},
                     {"../../evil", "never written"},
                     {"folder/two.bin", two_}})));
  const FetchReport report = fetch_from({server_.url()});
  EXPECT_EQ(content_of(folder_.path("set/one.bin")), one_);
  EXPECT_EQ(content_of(folder_.path("set/two.bin")), two_);
  EXPECT_THAT(report.files, ElementsAre(folder_.path("set/one.bin"), folder_.path("set/two.bin")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path("set")), {}), 2);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
  EXPECT_EQ(fetch_from({server_.url()}).downloaded_bytes, 0);
}

TEST_F(FetchingArchives, uses_an_archive_that_was_put_there_by_hand) {
  serve(gzipped(tar({{"one.bin", one_}, {"two.bin", two_}})));
  folder_.write("set/set.tar.gz", served_);
  EXPECT_EQ(fetch_from({dead_url()}).downloaded_bytes, 0);
  EXPECT_EQ(content_of(folder_.path("set/two.bin")), two_);
}

TEST_F(FetchingArchives, refuses_archives_that_lack_a_file_or_are_damaged) {
  const std::string whole = tar({{"one.bin", one_}, {"two.bin", two_}});
  std::string bad_header = whole;
  bad_header[5] = 'x';
  for (const auto& [archive, problem] : std::vector<std::pair<std::string, std::string>>{
           {gzipped(tar({{"one.bin", one_}})), "lacks two.bin"},
           {gzipped(tar({{"one.bin", one_}, {"two.bin", one_}})), "700 bytes, expected 1024"},
           {gzipped(whole.substr(0, 900)), "truncated"},
           {gzipped(bad_header), "expected a tar header"},
           {gzipped(whole).substr(0, 60), "truncated"}}) {
    serve(archive);
    std::filesystem::remove_all(folder_.path("set"));
    const Error error = error_of([&] { fetch_from({server_.url()}); });
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(), HasSubstr(problem));
    EXPECT_FALSE(std::filesystem::exists(folder_.path("set/two.bin")));
  }
}

TEST(FetchDataset, knows_its_sets) {
  EXPECT_EQ(fetch_plan("mnist").files.size(), 4u);
  EXPECT_GE(fetch_plan("mnist").sources.size(), 2u);
  EXPECT_GE(fetch_plan("cifar10").sources.size(), 2u);
  EXPECT_EQ(fetch_plan("cifar10").files[0].checksum.hex, "c32a1d4ab5d03f1284b67883e8d87530");
  EXPECT_EQ(error_of([] { fetch_dataset("imagenet"); }).kind(), ErrorKind::usage);
  EXPECT_THAT(error_of([] { fetch_dataset("digits"); }).remedy(), HasSubstr("built in"));
}

TEST(FetchDataset, brings_mnist_to_where_it_is_looked_for) {
  const std::string source = real_data_folder("mnist");
  if (source.empty()) GTEST_SKIP() << "MNIST IS ABSENT: its checksums are not tested";
  HttpServer server;
  for (const FetchFile& file : fetch_plan("mnist").files) {
    server.serve("/" + file.name, {content_of(source + "/" + file.name)});
  }
  const TemporaryFolder root;
  const ScopedVariable data("LOCKSTEP_DATA", root.path().c_str());
  const ScopedVariable url("LOCKSTEP_DATA_URL", server.url().c_str());
  const FetchReport report = fetch_dataset("mnist");
  EXPECT_EQ(report.folder, root.path("mnist"));
  EXPECT_EQ(load("mnist").train.size(), 60000);
}

}  // namespace
}  // namespace lockstep
