#include "data/spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "data/environment.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

struct FormatRule {
  const char* name;
  DataFormat format;
  size_t min_paths, max_paths;
  std::vector<std::string> options;
  const char* form;
};

const std::vector<FormatRule>& rules() {
  static const std::vector<FormatRule> table = {
      {"synthetic",
       DataFormat::synthetic,
       0,
       0,
       {"n", "d", "classes", "seed"},
       "synthetic:n=ROWS,d=FEATURES[,classes=K][,seed=S]"},
      {"digits", DataFormat::digits, 0, 0, {}, "digits"},
      {"mnist", DataFormat::mnist, 0, 1, {}, "mnist[:FOLDER]"},
      {"cifar10", DataFormat::cifar10, 0, 1, {}, "cifar10[:FOLDER]"},
      {"idx", DataFormat::idx, 1, 2, {}, "idx:IMAGES,LABELS"},
      {"libsvm", DataFormat::libsvm, 1, 1, {"base"}, "libsvm:FILE[,base=0|1]"},
      {"npy", DataFormat::npy, 1, 2, {}, "npy:X,Y"},
      {"csv",
       DataFormat::csv,
       1,
       1,
       {"label", "header", "sep"},
       "csv:FILE[,label=NAME|INDEX|none][,header=yes|no][,sep=C]"},
  };
  return table;
}

[[noreturn]] void fail(const std::string& text, const std::string& problem,
                       const std::string& remedy) {
  throw Error(ErrorKind::usage, fmt::format("data '{}': {}", text, problem), remedy);
}

// Users who name a file are told the form that reads it.
[[noreturn]] void fail_unknown(const std::string& text, const std::string& name) {
  const std::string extension = std::filesystem::path(text).extension().string();
  const std::pair<const char*, const char*> known[] = {{".csv", "csv:"},
                                                       {".tsv", "csv:"},
                                                       {".npy", "npy:"},
                                                       {".svm", "libsvm:"},
                                                       {".libsvm", "libsvm:"}};
  for (const auto& [suffix, prefix] : known) {
    if (extension == suffix) fail(text, "the format is missing", "write " + (prefix + text));
  }
  std::vector<std::string> forms;
  for (const FormatRule& rule : rules()) forms.emplace_back(rule.form);
  fail(text, fmt::format("unknown data set or format '{}'", name),
       fmt::format("use one of: {}", fmt::join(forms, ", ")));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> pieces;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1) {
    pieces.push_back(text.substr(begin, end - begin));
  }
  pieces.push_back(text.substr(begin));
  return pieces;
}

bool is_there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// Two file names are joined by a comma, which they may hold themselves: the first comma that leaves
// two existing files is meant, else the first of all.
std::vector<std::string> split_paths(const std::string& text) {
  std::vector<std::string> first;
  for (size_t comma = text.find(','); comma != std::string::npos;
       comma = text.find(',', comma + 1)) {
    std::vector<std::string> pair = {text.substr(0, comma), text.substr(comma + 1)};
    if (is_there(pair[0]) && is_there(pair[1])) return pair;
    if (first.empty()) first = pair;
  }
  return first.empty() ? std::vector{text} : first;
}

void add_option(const FormatRule& rule, DataSpec& spec, const std::string& key,
                const std::string& value) {
  if (std::find(rule.options.begin(), rule.options.end(), key) == rule.options.end()) {
    fail(spec.text, fmt::format("unknown option '{}'", key),
         fmt::format("the form is {}", rule.form));
  }
  if (!spec.options.emplace(key, value).second) {
    fail(spec.text, fmt::format("option '{}' is given twice", key), "give it once");
  }
}

// Takes the ",key=value" pieces off the end of `rest`.
std::string take_options(const FormatRule& rule, std::string rest, DataSpec& spec) {
  constexpr std::string_view kCommaSeparator = ",sep=,";  // the one value that holds a comma
  if (const size_t at = rest.find(kCommaSeparator); at != std::string::npos) {
    add_option(rule, spec, "sep", ",");
    const size_t next = at + kCommaSeparator.size();
    const bool own_comma = next == rest.size() || rest[next] == ',';
    rest.erase(at, kCommaSeparator.size() - (own_comma ? 0 : 1));
  }
  std::vector<std::string> pieces = split(rest, ',');
  for (size_t files = rule.max_paths; pieces.size() > files; pieces.pop_back()) {
    const size_t equals = pieces.back().find('=');
    if (equals == std::string::npos) break;
    add_option(rule, spec, pieces.back().substr(0, equals), pieces.back().substr(equals + 1));
  }
  return fmt::format("{}", fmt::join(pieces, ","));
}

// Shells leave a tilde behind a colon alone.
std::string without_tilde(const std::string& path) {
  const std::string home = environment_variable("HOME");
  return path.starts_with("~/") && !home.empty() ? home + path.substr(1) : path;
}

}  // namespace

DataSpec parse_spec(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  const auto rule = std::find_if(rules().begin(), rules().end(),
                                 [&](const FormatRule& r) { return r.name == name; });
  if (rule == rules().end()) fail_unknown(text, name);

  DataSpec spec{text, rule->format, {}, {}};
  std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (!rule->options.empty()) rest = take_options(*rule, std::move(rest), spec);
  if (!rest.empty()) {
    spec.paths = rule->max_paths == 2 ? split_paths(rest) : std::vector{rest};
    for (std::string& path : spec.paths) path = without_tilde(path);
  }
  const bool empty_path = std::find(spec.paths.begin(), spec.paths.end(), "") != spec.paths.end();
  if (empty_path || spec.paths.size() < rule->min_paths || spec.paths.size() > rule->max_paths) {
    fail(text, spec.paths.empty() ? "no file is named" : "the wrong number of files",
         fmt::format("the form is {}", rule->form));
  }
  return spec;
}

int64_t integer_option(const DataSpec& spec, const std::string& name, int64_t fallback, int64_t low,
                       int64_t high) {
  const auto option = spec.options.find(name);
  if (option == spec.options.end()) return fallback;
  const std::string& value = option->second;
  int64_t number = 0;
  const auto [end, status] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (status != std::errc() || end != value.data() + value.size() || number < low ||
      number > high) {
    fail(spec.text, fmt::format("{} = '{}', expected a whole number", name, value),
         fmt::format("give {} between {} and {}", name, low, high));
  }
  return number;
}

}  // namespace lockstep
