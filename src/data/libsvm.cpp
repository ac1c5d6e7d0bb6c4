// LIBSVM's text format (Chang, Lin 2011): "LABEL INDEX:VALUE INDEX:VALUE ...", indices ascending,
// what is left out is 0. Made dense: Lockstep's models are.
//
// Columns count from 1 by definition; a file in which index 0 occurs counts from 0. `base=` says it
// where a file leaves it open.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "data/failure.h"
#include "data/number.h"
#include "data/reader.h"
#include "data/text_file.h"

namespace lockstep {
namespace {

constexpr char kRowsWanted[] = "a line is LABEL INDEX:VALUE INDEX:VALUE ..., indices ascending";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

// Walks through the tokens of a file, line by line.
class Lines {
 public:
  explicit Lines(TextFile& file)
      : file_(file), next_(file.text().data()), end_(next_ + file.text().size()) {}

  // Goes to the next line that is neither blank nor a comment; false at the end.
  bool next_line() {
    while (next_ < end_) {
      file_.passed(next_);
      start_ = token_ = next_;
      const auto* stop = static_cast<const char*>(std::memchr(next_, '\n', end_ - next_));
      line_end_ = stop ? stop : end_;
      next_ = stop ? stop + 1 : end_;
      ++number_;
      const auto* comment = static_cast<const char*>(std::memchr(token_, '#', line_end_ - token_));
      if (comment) line_end_ = comment;
      skip_blanks();
      if (token_ < line_end_) return true;
    }
    return false;
  }

  // The next token of the line; empty at its end.
  std::string_view token() {
    skip_blanks();
    const char* begin = token_;
    while (token_ < line_end_ && !is_blank(*token_)) ++token_;
    return {begin, static_cast<size_t>(token_ - begin)};
  }

  [[noreturn]] void fail(std::string_view token, const std::string& problem) const {
    fail_at(file_.path(), fmt::format("line {}, column {}", number_, token.data() - start_ + 1),
            problem, kRowsWanted);
  }

 private:
  void skip_blanks() {
    while (token_ < line_end_ && is_blank(*token_)) ++token_;
  }

  TextFile& file_;
  const char* next_;
  const char* end_;
  const char* start_ = nullptr;
  const char* token_ = nullptr;
  const char* line_end_ = nullptr;
  int64_t number_ = 0;
};

struct Entry {
  int64_t index = 0;
  std::string_view value;
};

// "INDEX:VALUE", the index above `previous`.
Entry parse_entry(const Lines& lines, std::string_view token, int64_t previous) {
  Entry entry;
  const char* const end = token.data() + token.size();
  const auto [stop, status] = std::from_chars(token.data(), end, entry.index);
  if (status != std::errc() || stop == end || *stop != ':') {
    lines.fail(token, in_quotes(token) + ", expected INDEX:VALUE");
  }
  if (entry.index < 0 || entry.index > std::numeric_limits<int32_t>::max()) {
    lines.fail(token, fmt::format("index {} is out of range", entry.index));
  }
  if (entry.index <= previous) {
    lines.fail(token, fmt::format("index {} follows {}, expected ascending indices", entry.index,
                                  previous));
  }
  entry.value = {stop + 1, static_cast<size_t>(end - stop - 1)};
  return entry;
}

struct Extent {
  int64_t rows = 0;
  int64_t lowest = std::numeric_limits<int64_t>::max();  // index
  int64_t highest = -1;
};

// The first pass: how much memory will be needed. Values are not looked at.
Extent measure(TextFile& file) {
  Extent extent;
  Lines lines(file);
  while (lines.next_line()) {
    ++extent.rows;
    lines.token();  // the label
    int64_t previous = -1;
    for (auto token = lines.token(); !token.empty(); token = lines.token()) {
      const Entry entry = parse_entry(lines, token, previous);
      if (previous < 0) extent.lowest = std::min(extent.lowest, entry.index);
      previous = entry.index;
    }
    extent.highest = std::max(extent.highest, previous);
  }
  file.rewind();
  return extent;
}

void read_values(TextFile& file, int64_t base, const OwnedFeatures& features,
                 LabelEncoder& labels) {
  auto* row = reinterpret_cast<float*>(features.data);
  Lines lines(file);
  for (; lines.next_line(); row += features.matrix.columns) {
    const std::string_view label = lines.token();
    float number = 0.0f;
    const NumberStatus label_status = parse_float(label, number);
    if (label_status != NumberStatus::ok) {
      lines.fail(label, "label " + explain(label_status, label));
    }
    labels.add(label);
    int64_t previous = -1;
    for (auto token = lines.token(); !token.empty(); token = lines.token()) {
      const Entry entry = parse_entry(lines, token, previous);
      previous = entry.index;
      const NumberStatus status = parse_float(entry.value, row[entry.index - base]);
      if (status != NumberStatus::ok) lines.fail(entry.value, explain(status, entry.value));
    }
  }
}

int64_t index_base(const DataSpec& spec, const ReadContext& context, const Extent& extent) {
  const int64_t detected = extent.lowest == 0 ? 0 : 1;
  const int64_t known =
      context.schema && context.schema->index_base ? *context.schema->index_base : detected;
  const int64_t base = integer_option(spec, "base", known, 0, 1);
  if (extent.lowest < base) {
    fail_at(spec.paths[0], "", "index 0 occurs, expected indices from 1",
            "give base=0 for this file and for the training data");
  }
  return base;
}

}  // namespace

RawData read_libsvm(const DataSpec& spec, const ReadContext& context) {
  const std::string& path = spec.paths[0];
  TextFile file(path);
  const Extent extent = measure(file);
  if (extent.rows == 0) fail_at(path, "", "there are no rows", kRowsWanted);
  const int64_t base = index_base(spec, context, extent);
  int64_t columns = extent.highest - base + 1;
  if (columns <= 0)
    fail_at(path, "", "there are no features, expected INDEX:VALUE after the label", kRowsWanted);
  if (context.schema) {
    if (columns > context.schema->columns) {
      fail_at(
          path, "",
          fmt::format("index {} occurs, the training data has {} features (up to index {})",
                      extent.highest, context.schema->columns, context.schema->columns + base - 1),
          "remove these columns, or train on data that has them");
    }
    columns = context.schema->columns;
  }

  const OwnedFeatures features =
      allocate_features(path, FeatureType::float32, extent.rows, columns);
  LabelEncoder labels(path, context.unknown_labels());
  labels.reserve(extent.rows);
  read_values(file, base, features, labels);

  RawData data;
  data.train = {path, features.matrix, nullptr, labels.take(), std::nullopt};
  data.schema.columns = columns;
  data.schema.index_base = static_cast<int>(base);
  data.label_note = fmt::format("label: first number of each line; features from index {}", base);
  return data;
}

}  // namespace lockstep
