// CSV tables: all columns but the label's are numeric features.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "data/csv_cursor.h"
#include "data/failure.h"
#include "data/number.h"
#include "data/reader.h"
#include "data/text_file.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr int64_t kNoLabel = -1;
constexpr char kRowsWanted[] = "put the rows there, or check the path";

// What is decided before the rows are read.
struct CsvPlan {
  char separator = ',';
  bool header = false;
  int64_t columns = 0;
  int64_t label = kNoLabel;        // column, from 0
  std::vector<std::string> names;  // of all columns, where there is a header
  std::string label_note;

  int64_t features() const { return columns - (label == kNoLabel ? 0 : 1); }
};

std::string option(const DataSpec& spec, const std::string& name) {
  const auto found = spec.options.find(name);
  return found == spec.options.end() ? "" : found->second;
}

char separator_of(const DataSpec& spec) {
  const auto found = spec.options.find("sep");
  if (found == spec.options.end()) return ',';
  if (found->second == "tab" || found->second == "\\t") return '\t';
  const std::string& text = found->second;
  if (text.size() == 1 && text != "\"" && text != "\n" && text != "\r") return text[0];
  throw Error(ErrorKind::usage,
              fmt::format("data '{}': sep = '{}', expected one character", spec.text, text),
              "give one character, or the word tab: sep=;");
}

std::vector<CsvField> fields_of(CsvCursor& cursor) {
  std::vector<CsvField> fields;
  for (CsvField field; cursor.next_field(field);) fields.push_back(field);
  return fields;
}

bool is_number(const CsvField& field) {
  float value = 0.0f;
  return parse_float(field.raw, value) != NumberStatus::not_a_number;
}

// A first row is a header when it holds text above a number; a lone row when it is all text.
bool looks_like_header(const std::vector<CsvField>& first, const std::vector<CsvField>& second) {
  if (second.empty()) return std::none_of(first.begin(), first.end(), is_number);
  for (size_t i = 0; i < std::min(first.size(), second.size()); ++i) {
    if (!is_number(first[i]) && is_number(second[i])) return true;
  }
  return false;
}

bool header_of(const DataSpec& spec, const std::vector<CsvField>& first,
               const std::vector<CsvField>& second) {
  const std::string given = option(spec, "header");
  if (given == "yes") return true;
  if (given == "no") return false;
  if (spec.options.contains("header")) {
    throw Error(ErrorKind::usage,
                fmt::format("data '{}': header = '{}', expected yes or no", spec.text, given),
                "leave it out to have it found");
  }
  return looks_like_header(first, second);
}

int64_t column_named(const CsvPlan& plan, const std::string& name) {
  const auto found = std::find(plan.names.begin(), plan.names.end(), name);
  return found == plan.names.end() ? kNoLabel : found - plan.names.begin();
}

// The first names of a header, for a message.
std::string names_shown(const CsvPlan& plan) {
  constexpr size_t kShown = 20;
  const size_t count = std::min(plan.names.size(), kShown);
  return fmt::format("{}{}", fmt::join(plan.names.begin(), plan.names.begin() + count, ", "),
                     count < plan.names.size() ? ", ..." : "");
}

// label=NAME or label=INDEX; a column's name goes first.
int64_t chosen_label(const DataSpec& spec, const CsvPlan& plan, const std::string& choice) {
  const int64_t named = column_named(plan, choice);
  if (named != kNoLabel) return named;
  int64_t index = 0;
  const auto [end, status] = std::from_chars(choice.data(), choice.data() + choice.size(), index);
  if (status == std::errc() && end == choice.data() + choice.size() && index >= -plan.columns &&
      index < plan.columns) {
    return index < 0 ? index + plan.columns : index;
  }
  fail_at(spec.paths[0], "line 1",
          plan.header ? fmt::format("there is no column '{}', the columns are {}", choice,
                                    names_shown(plan))
                      : fmt::format("there is no column '{}': {} columns without a header", choice,
                                    plan.columns),
          fmt::format("label=NAME takes a name of the header, label=INDEX a number from 0 to {}",
                      plan.columns - 1));
}

// The label's column where the SPEC does not choose it.
int64_t default_label(const CsvPlan& plan, const ReadContext& context) {
  if (context.schema) {
    const Schema& schema = *context.schema;
    if (context.purpose == Purposes::predict && plan.columns == schema.columns) return kNoLabel;
    if (schema.label_name) {
      const int64_t same = column_named(plan, *schema.label_name);
      if (same != kNoLabel) return same;
    }
  }
  for (const char* usual : {"label", "target", "class", "y"}) {
    for (size_t i = 0; i < plan.names.size(); ++i) {
      const std::string& name = plan.names[i];
      const auto same = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == b;
      };
      if (std::ranges::equal(name, std::string_view(usual), same)) return static_cast<int64_t>(i);
    }
  }
  return plan.columns - 1;
}

void choose_label(const DataSpec& spec, const ReadContext& context, CsvPlan& plan) {
  const std::string choice = option(spec, "label");
  const bool chosen = spec.options.contains("label");
  if (choice == "none" && column_named(plan, "none") == kNoLabel) {
    plan.label = kNoLabel;
  } else {
    plan.label = chosen ? chosen_label(spec, plan, choice) : default_label(plan, context);
  }
  if (plan.label == kNoLabel) {
    plan.label_note = "label: none";
    return;
  }
  plan.label_note =
      plan.header ? fmt::format("label: column '{}' ({} of {})", plan.names[plan.label],
                                plan.label + 1, plan.columns)
                  : fmt::format("label: column {} of {}, no header", plan.label + 1, plan.columns);
}

CsvPlan make_plan(TextFile& file, const DataSpec& spec, const ReadContext& context) {
  CsvPlan plan;
  plan.separator = separator_of(spec);
  CsvCursor cursor(file, plan.separator);
  if (!cursor.next_record()) fail_at(file.path(), "", "there are no rows", kRowsWanted);
  const std::vector<CsvField> first = fields_of(cursor);
  const std::vector<CsvField> second =
      cursor.next_record() ? fields_of(cursor) : std::vector<CsvField>{};
  file.rewind();
  plan.columns = static_cast<int64_t>(first.size());
  plan.header = header_of(spec, first, second);
  if (plan.header) {
    for (const CsvField& field : first) plan.names.push_back(field.text());
  }
  choose_label(spec, context, plan);
  if (plan.features() < 1) {
    fail_at(file.path(), fmt::format("line {}", first[0].line),
            "one column only, expected features and a label",
            "if another character separates the columns, name it: sep=; or sep=tab");
  }
  return plan;
}

int64_t count_rows(TextFile& file, const CsvPlan& plan) {
  CsvCursor cursor(file, plan.separator);
  int64_t records = 0;
  while (cursor.next_record()) ++records;
  file.rewind();
  const int64_t rows = records - (plan.header ? 1 : 0);
  if (rows == 0) fail_at(file.path(), "", "there are no rows below the header", kRowsWanted);
  return rows;
}

[[noreturn]] void fail_ragged(const TextFile& file, const CsvPlan& plan, int64_t line,
                              int64_t fields) {
  fail_at(file.path(), fmt::format("line {}", line),
          fmt::format("{} fields, expected {} as in the first row", fields, plan.columns),
          "give every row the same number of fields");
}

void read_feature(const TextFile& file, const CsvPlan& plan, const CsvField& field, float& value) {
  const NumberStatus status = parse_float(field.raw, value);
  if (status == NumberStatus::ok) return;
  const std::string name = plan.header ? fmt::format(" ('{}')", plan.names[field.column - 1]) : "";
  fail_at(file.path(), field.place() + name, explain(status, field.raw),
          "features are numbers: fill in or drop the row or column, name the label with label=, or "
          "say header=yes");
}

RawLabels read_rows(TextFile& file, const CsvPlan& plan, const OwnedFeatures& features,
                    const ReadContext& context) {
  auto* out = reinterpret_cast<float*>(features.data);
  LabelEncoder labels(file.path(), context.unknown_labels());
  if (plan.label != kNoLabel) labels.reserve(features.matrix.rows);
  CsvCursor cursor(file, plan.separator);
  if (plan.header) cursor.next_record();
  for (int64_t row = 0; row < features.matrix.rows; ++row) {
    cursor.next_record();
    int64_t column = 0;
    for (CsvField field; cursor.next_field(field); ++column) {
      if (column >= plan.columns) continue;  // counted, and refused below
      if (column != plan.label) {
        read_feature(file, plan, field, *out++);
      } else if (field.raw.empty()) {
        fail_at(file.path(), field.place(), "the label is empty", "label or drop the row");
      } else if (field.doubled) {
        labels.add(field.text());
      } else {
        labels.add(field.raw);
      }
    }
    if (column != plan.columns) fail_ragged(file, plan, cursor.line(), column);
  }
  return labels.take();
}

// Columns in another order would be silently wrong.
void check_names(const TextFile& file, const std::vector<std::string>& names,
                 const ReadContext& context) {
  if (!context.schema || context.schema->column_names.empty() || names.empty()) return;
  const auto& expected = context.schema->column_names;
  const auto [name, wanted] =
      std::mismatch(names.begin(), names.end(), expected.begin(), expected.end());
  if (name == names.end()) return;
  fail_at(file.path(), "line 1",
          fmt::format("feature {} is '{}', expected '{}' as in the training data",
                      name - names.begin() + 1, *name, *wanted),
          "put the columns into the same order");
}

}  // namespace

RawData read_csv(const DataSpec& spec, const ReadContext& context) {
  TextFile file(spec.paths[0]);
  const CsvPlan plan = make_plan(file, spec, context);

  RawData data;
  data.label_note = plan.label_note;
  data.schema.columns = plan.features();
  data.train.path = file.path();
  data.train.features.columns = plan.features();
  check_columns(data.train, context);
  data.schema.column_names = plan.names;
  if (plan.header && plan.label != kNoLabel) {
    data.schema.label_name = plan.names[plan.label];
    data.schema.column_names.erase(data.schema.column_names.begin() + plan.label);
  }
  check_names(file, data.schema.column_names, context);

  const OwnedFeatures features =
      allocate_features(file.path(), FeatureType::float32, count_rows(file, plan), plan.features());
  data.train.labels = read_rows(file, plan, features, context);
  data.train.features = features.matrix;
  return data;
}

}  // namespace lockstep
