// A text file for the line-based readers: mapped, checked to be text, its pages given back as the
// reader goes on.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "data/mapped_file.h"

namespace lockstep {

class TextFile {
 public:
  // Error{data} where the file is compressed or holds zero bytes near its start: not text.
  explicit TextFile(const std::string& path);

  const std::string& path() const { return file_->path(); }
  std::string_view text() const { return text_; }  // without a byte order mark

  // Tells that the text before `here` will not be looked at in this pass.
  void passed(const char* here) { pages_.passed(here - file_->text().data()); }
  void rewind() { pages_.rewind(); }

 private:
  std::shared_ptr<MappedFile> file_;
  std::string_view text_;
  PassedPages pages_;
};

}  // namespace lockstep
