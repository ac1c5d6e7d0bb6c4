#include "data/csv_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "data/failure.h"
#include "data/number.h"

namespace lockstep {

std::string CsvField::text() const {
  std::string result(raw);
  if (!doubled) return result;
  size_t length = 0;
  for (size_t i = 0; i < result.size(); ++i, ++length) {
    result[length] = result[i];
    if (result[i] == '"') ++i;
  }
  result.resize(length);
  return result;
}

std::string CsvField::place() const {
  return fmt::format("line {}, column {}", line, column);
}

bool CsvCursor::next_record() {
  CsvField ignored;
  while (next_field(ignored)) {
  }
  file_.passed(next_);
  for (;;) {
    const bool carriage = end_ - next_ >= 2 && next_[0] == '\r' && next_[1] == '\n';
    if (next_ < end_ && (carriage || *next_ == '\n')) {
      next_ += carriage ? 2 : 1;
      ++current_line_;
    } else {
      break;
    }
  }
  line_ = current_line_;
  column_ = 0;
  inside_ = next_ < end_;
  return inside_;
}

bool CsvCursor::next_field(CsvField& field) {
  if (!inside_) return false;
  field.doubled = false;
  field.line = current_line_;
  field.column = ++column_;
  skip_blanks();
  if (next_ < end_ && *next_ == '"') {
    read_quoted(field);
  } else {
    read_plain(field);
  }
  end_field();
  return true;
}

void CsvCursor::skip_blanks() {
  while (next_ < end_ && (*next_ == ' ' || *next_ == '\t') && *next_ != separator_) ++next_;
}

void CsvCursor::read_quoted(CsvField& field) {
  const char* const begin = ++next_;
  for (;;) {
    const auto* quote = static_cast<const char*>(std::memchr(next_, '"', end_ - next_));
    if (!quote) {
      fail_at(file_.path(), field.place(), "the quoted field that starts here is not closed",
              "close it with a quote; a quote inside is written twice");
    }
    next_ = quote + 1;
    if (next_ == end_ || *next_ != '"') break;
    field.doubled = true;
    ++next_;
  }
  field.raw = {begin, static_cast<size_t>(next_ - 1 - begin)};
  current_line_ += std::count(begin, next_, '\n');
  skip_blanks();
  if (next_ < end_ && *next_ == '\r') ++next_;
  if (next_ < end_ && *next_ != separator_ && *next_ != '\n') {
    fail_at(file_.path(), field.place(), "text follows the closing quote",
            "a quote inside a quoted field is written twice");
  }
}

void CsvCursor::read_plain(CsvField& field) {
  const char* const begin = next_;
  while (next_ < end_ && *next_ != separator_ && *next_ != '\n') ++next_;
  const char* last = next_;
  if (last > begin && last[-1] == '\r' && (next_ == end_ || *next_ == '\n')) --last;
  field.raw = trimmed({begin, static_cast<size_t>(last - begin)});
}

void CsvCursor::end_field() {
  inside_ = next_ < end_ && *next_ == separator_;
  if (next_ == end_) return;
  if (*next_ == '\n') ++current_line_;
  ++next_;
}

}  // namespace lockstep
