// Splits CSV text (RFC 4180 with any separator) into records and fields, without copying.
#pragma once

#include <string>
#include <string_view>

#include "data/text_file.h"

namespace lockstep {

struct CsvField {
  std::string_view raw;  // between the quotes of a quoted field, else trimmed of blanks
  bool doubled = false;  // holds doubled quotes
  int64_t line = 0;      // where it starts, from 1
  int64_t column = 0;    // number of the field in its record, from 1

  std::string text() const;   // doubled quotes made single
  std::string place() const;  // "line 3, column 2"
};

// Goes through a file record by record, field by field. Line ends are LF or CRLF; empty lines are
// skipped. Error{data} with the line where a quoted field is not closed or text follows its end.
class CsvCursor {
 public:
  CsvCursor(TextFile& file, char separator)
      : file_(file),
        separator_(separator),
        next_(file.text().data()),
        end_(next_ + file.text().size()) {}

  // Goes to the next record, past what is left of this one; false at the end of the file.
  bool next_record();

  // The next field of the record; false at its end.
  bool next_field(CsvField& field);

  int64_t line() const { return line_; }  // of the record's start

 private:
  void read_quoted(CsvField& field);
  void read_plain(CsvField& field);
  void end_field();
  void skip_blanks();

  TextFile& file_;
  char separator_;
  const char* next_;
  const char* end_;
  int64_t line_ = 0;          // of the record's start
  int64_t current_line_ = 1;  // of next_
  int64_t column_ = 0;
  bool inside_ = false;  // fields of the record are left
};

}  // namespace lockstep
