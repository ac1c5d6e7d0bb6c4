#include "data/text_file.h"

#include <algorithm>

#include "data/failure.h"

namespace lockstep {

TextFile::TextFile(const std::string& path) : file_(MappedFile::open(path)), text_(file_->text()) {
  using namespace std::string_view_literals;
  if (text_.starts_with("\x1F\x8B"sv)) {
    fail_at(path, "byte 0", "gzip-compressed, expected text", "unpack it first: gunzip " + path);
  }
  const size_t zero = text_.substr(0, 4096).find('\0');
  if (zero != std::string_view::npos) {
    fail_at(path, "byte " + std::to_string(zero), "a zero byte, expected text",
            "check the format named in the SPEC");
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
  released_ = text_.data();
}

void TextFile::passed(const char* here) {
  constexpr std::ptrdiff_t kStep = std::ptrdiff_t{1} << 24;
  if (here - released_ < kStep) return;
  file_->release_before(here - file_->text().data());
  released_ = here;
}

}  // namespace lockstep
