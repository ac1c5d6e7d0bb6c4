#include "data/text_file.h"

#include "data/failure.h"

namespace lockstep {

TextFile::TextFile(const std::string& path)
    : file_(MappedFile::open(path)), text_(file_->text()), pages_(*file_) {
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
}

}  // namespace lockstep
