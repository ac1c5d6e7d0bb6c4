#include "data/npy_header.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "data/failure.h"

namespace lockstep {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kMagic = "\x93NUMPY"sv;
constexpr const char* kResave = "save it again with numpy.save";

// Reads the header's Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}.
class DictParser {
 public:
  DictParser(const MappedFile& file, std::string_view text, size_t offset)
      : path_(file.path()), text_(text), offset_(offset) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        header_.format = element_format();
        has_descr_ = true;
      } else if (key == "fortran_order") {
        header_.fortran_order = boolean();
      } else if (key == "shape") {
        header_.shape = shape();
        has_shape_ = true;
      } else {
        fail(fmt::format("unknown key {}", in_quotes(key)));
      }
      accept(',');
    }
    if (!has_descr_ || !has_shape_) fail("expected the keys 'descr' and 'shape'");
    return header_;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    fail_at(path_, fmt::format("byte {}", offset_ + position_), "NPY header: " + problem, kResave);
  }

  void skip_blanks() {
    while (position_ < text_.size() && " \t\n"sv.find(text_[position_]) != std::string_view::npos) {
      ++position_;
    }
  }

  bool accept(char wanted) {
    skip_blanks();
    if (position_ == text_.size() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted)) fail(fmt::format("expected '{}'", wanted));
  }

  std::string_view string() {
    skip_blanks();
    const char quote = position_ < text_.size() ? text_[position_] : '\0';
    if (quote != '\'' && quote != '"') fail("expected a string");
    const size_t end = text_.find(quote, ++position_);
    if (end == std::string_view::npos) fail("a string is not closed");
    const std::string_view value = text_.substr(position_, end - position_);
    position_ = end + 1;
    return value;
  }

  bool boolean() {
    skip_blanks();
    for (const auto& [word, value] : {std::pair{"True"sv, true}, std::pair{"False"sv, false}}) {
      if (text_.substr(position_).starts_with(word)) {
        position_ += word.size();
        return value;
      }
    }
    fail("expected True or False");
  }

  std::vector<int64_t> shape() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      sizes.push_back(size());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  int64_t size() {
    skip_blanks();
    int64_t value = -1;
    const char* const begin = text_.data() + position_;
    const auto [end, status] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (status != std::errc() || value < 0) fail("expected a size");
    position_ += end - begin;
    return value;
  }

  ElementFormat element_format() {
    skip_blanks();
    if (position_ < text_.size() && text_[position_] == '[') {
      fail("a structured array, expected plain numbers");
    }
    const std::string_view descr = string();
    const std::pair<std::string_view, ElementType> known[] = {
        {"u1", ElementType::u1}, {"b1", ElementType::u1}, {"i1", ElementType::i1},
        {"u2", ElementType::u2}, {"i2", ElementType::i2}, {"u4", ElementType::u4},
        {"i4", ElementType::i4}, {"u8", ElementType::u8}, {"i8", ElementType::i8},
        {"f4", ElementType::f4}, {"f8", ElementType::f8}};
    for (const auto& [name, type] : known) {
      if (descr.size() == 3 && "<>|="sv.find(descr[0]) != std::string_view::npos &&
          descr.substr(1) == name) {
        return {type, descr[0] == '>' ? ByteOrder::big : ByteOrder::little};
      }
    }
    fail(fmt::format("element type {}, expected f4, f8, u1 or an integer", in_quotes(descr)));
  }

  const std::string& path_;
  std::string_view text_;
  size_t offset_;
  size_t position_ = 0;
  bool has_descr_ = false;
  bool has_shape_ = false;
  NpyHeader header_;
};

}  // namespace

NpyHeader parse_npy_header(const MappedFile& file) {
  const std::string_view text = file.text();
  if (!text.starts_with(kMagic)) {
    fail_at(file.path(), "byte 0", "wrong magic number, expected \\x93NUMPY",
            text.starts_with("PK"sv)         ? "this looks like .npz: unpack it first"
            : text.starts_with("\x1F\x8B"sv) ? "this is gzip-compressed: unpack it first"
                                             : "check that this is a file of numpy.save");
  }
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(text[i])); };
  const size_t version = text.size() > kMagic.size() ? byte(6) : 0;
  const size_t start = version == 1 ? 10 : 12;
  if (text.size() < start) fail_at(file.path(), "byte 6", "truncated NPY header", kResave);
  if (version < 1 || version > 3) {
    fail_at(file.path(), "byte 6", fmt::format("NPY version {}, expected 1 to 3", version),
            kResave);
  }
  const size_t length = version == 1 ? byte(8) | byte(9) << 8
                                     : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (length > text.size() - start) {
    fail_at(
        file.path(), "byte 8",
        fmt::format("the header claims {} bytes, the file holds {}", length, text.size() - start),
        kResave);
  }
  NpyHeader header = DictParser(file, text.substr(start, length), start).parse();
  header.offset = start + length;
  return header;
}

}  // namespace lockstep
