// Thousands of damaged files, the same ones in every run: each loads or is refused by Error{data};
// under the sanitizers nothing reads or takes memory that the file does not have.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "lockstep/checkpoint.h"
#include "lockstep/error.h"
#include "train/checkpoint_fixture.h"

namespace lockstep {
namespace {

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : engine_(seed) {}

  // Most damage goes to the header, where the claims are.
  std::string mutate(std::string bytes, size_t header_bytes) {
    const uint32_t changes = 1 + below(3);
    for (uint32_t i = 0; i < changes && !bytes.empty(); ++i) {
      const size_t limit = below(8) == 0 ? bytes.size() : std::min(header_bytes, bytes.size());
      change(bytes, below(static_cast<uint32_t>(limit)));
    }
    return bytes;
  }

 private:
  void change(std::string& bytes, size_t place) {
    static const std::string kTokens = "0123456789-\"{}[],:.eEn\\ \xff";
    switch (below(7)) {
      case 0: bytes[place] = static_cast<char>(bytes[place] ^ (1 << below(8))); break;
      case 1: bytes[place] = kTokens[below(static_cast<uint32_t>(kTokens.size()))]; break;
      case 2: bytes.resize(place); break;
      case 3: bytes.erase(place, 1 + below(16)); break;
      case 4:
        bytes.insert(place, bytes.substr(below(static_cast<uint32_t>(bytes.size())), 20));
        break;
      case 5: change_digits(bytes, place); break;
      default: bytes[below(8)] = static_cast<char>(below(256)); break;
    }
  }

  // Replaces the next number: well-formed JSON that claims something else.
  void change_digits(std::string& bytes, size_t place) {
    const size_t begin = bytes.find_first_of("0123456789", place);
    if (begin == std::string::npos) return;
    const size_t end = std::min(bytes.find_first_not_of("0123456789", begin), bytes.size());
    static const char* const kNumbers[] = {
        "0",     "1",   "2147483647",           "-1",         "4294967296",  "9223372036854775807",
        "1e308", "0.5", "18446744073709551615", "1000000000", "99999999999", "null"};
    const std::string number = kNumbers[below(std::size(kNumbers))];
    // Same length where possible, so that the header's length stays right and the claim is read.
    std::string text = number;
    if (end > begin && text.size() > end - begin) text.resize(end - begin);
    text.insert(0, end - begin - text.size(), ' ');
    bytes.replace(begin, end - begin, text);
  }

  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(engine_() % limit); }

  std::mt19937 engine_;
};

TEST(CheckpointFuzz, DamagedFilesLoadOrAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.file("fuzz.safetensors");
  save_checkpoint(path, training_state());
  const std::string valid = read_bytes(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, valid.data(), sizeof header_bytes);

  Mutator mutator(2026);
  int loaded = 0, refused = 0;
  for (int i = 0; i < 5000; ++i) {
    write_bytes(path, mutator.mutate(valid, 8 + header_bytes));
    try {
      const Checkpoint checkpoint = load_checkpoint(path);
      ++loaded;
      save_checkpoint(path, checkpoint);
      load_checkpoint(path);  // what was accepted is whole
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::data) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace lockstep
