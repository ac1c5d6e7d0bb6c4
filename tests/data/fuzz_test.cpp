// Damaged files of every format: each either loads or is refused with an Error, and never crashes,
// hangs or takes much memory (the sanitizer builds watch).
#include <cmath>
#include <functional>

#include "files.h"

namespace lockstep {
namespace {

// A small generator of its own: the same damage in every run.
class Dice {
 public:
  explicit Dice(uint32_t seed) : state_(seed) {}
  uint32_t roll(size_t below) {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<uint32_t>((state_ >> 8) % below);
  }

 private:
  uint32_t state_;
};

std::string damaged(std::string bytes, Dice& dice) {
  const uint32_t changes = 1 + dice.roll(4);
  for (uint32_t change = 0; change < changes && !bytes.empty(); ++change) {
    const uint32_t at = dice.roll(bytes.size());
    switch (dice.roll(4)) {
      case 0: bytes[at] = static_cast<char>(dice.roll(256)); break;
      case 1: bytes[at] ^= static_cast<char>(1u << dice.roll(8)); break;
      case 2: bytes.erase(at, 1 + dice.roll(8)); break;
      default: bytes.insert(at, bytes.substr(dice.roll(bytes.size()), dice.roll(16))); break;
    }
  }
  return bytes;
}

struct Format {
  const char* name;
  std::string bytes;
  std::function<std::string(const std::string&)> spec;
};

class DamagedFiles : public testing::TestWithParam<Format> {};

TEST_P(DamagedFiles, load_or_are_refused) {
  const TemporaryFolder folder;
  const ScopedVariable cache("LOCKSTEP_DATA", folder.path().c_str());
  Dice dice(12345);
  int refused = 0;
  constexpr int kFiles = 1500;
  for (int i = 0; i < kFiles; ++i) {
    // Truncating an old file would make some file systems flush it: thousands of flushes.
    std::filesystem::remove(folder.path("file"));
    DataConfig config;
    config.data = GetParam().spec(folder.write("file", damaged(GetParam().bytes, dice)));
    config.test_fraction = i % 3 == 0 ? 0.5 : 0.0;
    try {
      const Dataset data = load_dataset(config, 1, i % 2 ? kMapAll : kReadAll);
      for (float value : values_of(data.train)) ASSERT_TRUE(std::isfinite(value));
      for (int32_t label : data.train.labels) ASSERT_LT(label, data.classes);
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::data) << error.what();
      ASSERT_THAT(error.what(), testing::HasSubstr(folder.path("file")));
      ++refused;
    }
  }
  EXPECT_GT(refused, kFiles / 10);
}

std::vector<Format> formats() {
  const auto with = [](const char* prefix) {
    return [prefix](const std::string& file) { return prefix + file; };
  };
  const std::string image_bytes = idx(8, {4, 2, 3}, "abcdefghijklmnopqrstuvwx");
  return {
      {"idx", image_bytes, with("idx:")},
      {"idx_gz", gzipped(image_bytes), with("idx:")},
      {"idx_floats", idx(0x0D, {2, 2}, {"\x3F\x80\0\0\xC0\0\0\0\x3F\0\0\0\0\0\0\0", 16}),
       with("idx:")},
      {"npy", npy("<f4", false, "(2, 3)", raw<float>({1, 2, 3, 4, 5, 6})), with("npy:")},
      {"npy_fortran", npy("<f8", true, "(3, 2)", raw<double>({1, 2, 3, 4, 5, 6})), with("npy:")},
      {"csv", "a,\"b\",label\r\n1,2.5,x\n-3,\"4\",\"y\"\"z\"\n5e3,6,x\n7,8,x\n", with("csv:")},
      {"libsvm", "+1 1:0.5 3:-2e1\n-1 2:1 # comment\n+1 1:7\n-1 3:.25 4:9\n", with("libsvm:")},
  };
}

INSTANTIATE_TEST_SUITE_P(Formats, DamagedFiles, testing::ValuesIn(formats()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace lockstep
