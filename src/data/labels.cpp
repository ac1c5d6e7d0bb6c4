#include "data/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>

#include "data/failure.h"

namespace lockstep {
namespace {

constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

// The value of a text that is a number as a whole.
std::optional<double> number_of(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0.0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_integer(double value) {
  return std::trunc(value) == value && std::abs(value) < kExactIntegers;
}

// One spelling for each number.
std::string canonical(std::string_view text) {
  const std::optional<double> value = number_of(text);
  if (value && is_integer(*value)) return fmt::format("{}", static_cast<int64_t>(*value));
  return std::string(text);
}

size_t first_row_with(const std::vector<int32_t>& codes, size_t code) {
  return std::find(codes.begin(), codes.end(), static_cast<int32_t>(code)) - codes.begin() + 1;
}

}  // namespace

int32_t LabelEncoder::code_of_name(std::string name) {
  const auto [entry, added] =
      by_name_.try_emplace(std::move(name), static_cast<int32_t>(labels_.names.size()));
  if (added) {
    labels_.names.push_back(entry->first);
    if (unknown_ == UnknownLabels::error && labels_.names.size() > kMaxClasses) {
      fail_at(labels_.path, fmt::format("row {}", labels_.codes.size() + 1),
              fmt::format("label {} is the {}th different one, expected at most {} classes",
                          in_quotes(entry->first), labels_.names.size(), kMaxClasses),
              "Lockstep trains classifiers: choose another label column, or put the values into "
              "classes");
    }
  }
  return entry->second;
}

void LabelEncoder::add(std::string_view text) {
  auto entry = by_text_.find(text);
  if (entry == by_text_.end()) {
    entry = by_text_.emplace(std::string(text), code_of_name(canonical(text))).first;
  }
  labels_.codes.push_back(entry->second);
}

void LabelEncoder::add(int64_t number) {
  auto entry = by_number_.find(number);
  if (entry == by_number_.end()) {
    entry = by_number_.emplace(number, code_of_name(std::to_string(number))).first;
  }
  labels_.codes.push_back(entry->second);
}

void LabelEncoder::add(double number) {
  if (is_integer(number)) {
    add(static_cast<int64_t>(number));
  } else {
    add(std::string_view(fmt::format("{}", number)));
  }
}

std::vector<std::string> classes_of(const RawLabels& labels) {
  std::vector<std::pair<double, std::string>> classes;
  bool numeric = true;
  for (const std::string& name : labels.names) {
    const std::optional<double> value = number_of(name);
    numeric = numeric && value;
    classes.emplace_back(value.value_or(0.0), name);
  }
  for (size_t code = 0; numeric && code < classes.size(); ++code) {
    if (is_integer(classes[code].first)) continue;
    fail_at(labels.path, fmt::format("row {}", first_row_with(labels.codes, code)),
            fmt::format("label {} is not an integer, expected a class",
                        in_quotes(classes[code].second)),
            "Lockstep trains classifiers: choose another label column, or put the values into "
            "classes");
  }
  if (!numeric) {
    for (auto& [value, name] : classes) value = 0.0;
  }
  std::sort(classes.begin(), classes.end());
  if (classes.size() < 2) {
    fail_at(labels.path, "",
            classes.empty() ? std::string("there are no labels, expected at least two classes")
                            : fmt::format("every label is {}, expected at least two classes",
                                          in_quotes(classes[0].second)),
            "check that the label column is the right one");
  }
  std::vector<std::string> names;
  names.reserve(classes.size());
  for (auto& [value, name] : classes) names.push_back(std::move(name));
  return names;
}

std::vector<int32_t> class_indices(RawLabels labels, const std::vector<std::string>& class_names,
                                   UnknownLabels unknown) {
  std::vector<int32_t> index_of_code;
  for (size_t code = 0; code < labels.names.size(); ++code) {
    const auto found = std::find(class_names.begin(), class_names.end(), labels.names[code]);
    if (found == class_names.end()) {
      if (unknown == UnknownLabels::ignored) return {};
      fail_at(labels.path, fmt::format("row {}", first_row_with(labels.codes, code)),
              fmt::format(
                  "label {} is not one of the {} known classes ({}{})",
                  in_quotes(labels.names[code]), class_names.size(),
                  fmt::join(class_names.begin(),
                            class_names.begin() + std::min<size_t>(class_names.size(), 10), ", "),
                  class_names.size() > 10 ? ", ..." : ""),
              "correct the label, or train on data that has it");
    }
    index_of_code.push_back(static_cast<int32_t>(found - class_names.begin()));
  }
  for (int32_t& code : labels.codes) code = index_of_code[code];
  return std::move(labels.codes);
}

}  // namespace lockstep
