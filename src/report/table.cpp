#include "report/table.h"

#include <algorithm>
#include <utility>

namespace lockstep {

void Table::add_column(std::string heading, Align align) {
  columns_.push_back({std::move(heading), align});
}

void Table::add_row(std::vector<std::string> entries) {
  entries.resize(columns_.size());
  rows_.push_back({std::move(entries), {}});
}

void Table::add_note(std::string first, const std::string& note) {
  rows_.push_back({{std::move(first)}, note});
}

std::vector<size_t> Table::widths() const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(display_width(column.heading));
  for (const Row& row : rows_) {
    for (size_t i = 0; i < row.entries.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row.entries[i]));
    }
  }
  return widths;
}

std::string Table::line(const Row& row, const std::vector<size_t>& widths, int indent) const {
  std::string line(indent, ' ');
  for (size_t i = 0; i < row.entries.size(); ++i) {
    const std::string padding(widths[i] - display_width(row.entries[i]), ' ');
    if (i > 0) line += "  ";
    line += columns_[i].align == Align::left ? row.entries[i] + padding : padding + row.entries[i];
  }
  if (!row.note.empty()) line += "  " + row.note;
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string Table::text(int indent) const {
  const std::vector<size_t> all_widths = widths();
  Row headings;
  for (const Column& column : columns_) headings.entries.push_back(column.heading);
  const bool has_headings = std::ranges::any_of(
      headings.entries, [](const std::string& heading) { return !heading.empty(); });
  std::string text = has_headings ? line(headings, all_widths, indent) : "";
  for (const Row& row : rows_) text += line(row, all_widths, indent);
  return text;
}

size_t display_width(const std::string& text) {
  // Bytes 10xxxxxx continue a letter.
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace lockstep
