// Text tables: columns as wide as their widest entry, two blanks between them.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

enum class Align { left, right };

class Table {
 public:
  void add_column(std::string heading, Align align = Align::right);
  // REQUIRES: one entry a column, or fewer.
  void add_row(std::vector<std::string> entries);
  // A row whose first entry is followed by a text across the other columns.
  void add_note(std::string first, const std::string& note);

  // Each line ends in a newline; without headings there is no heading line. `indent` blanks stand
  // before every line.
  std::string text(int indent = 0) const;

 private:
  struct Column {
    std::string heading;
    Align align;
  };
  struct Row {
    std::vector<std::string> entries;
    std::string note;
  };
  std::vector<size_t> widths() const;
  std::string line(const Row& row, const std::vector<size_t>& widths, int indent) const;

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

// Letters of a UTF-8 text: what it takes on a terminal, for scripts of single width.
size_t display_width(const std::string& text);

}  // namespace lockstep
