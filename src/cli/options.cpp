#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>

namespace lockstep::cli {

namespace {

std::string text_of(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return {};
  if (value.is_number_float()) return fmt::format("{:g}", value.get<double>());
  if (!value.is_array()) return value.dump();
  std::string joined;
  for (const Json& entry : value) {
    if (!joined.empty()) joined += ',';
    joined += text_of(entry);
  }
  return joined;
}

std::vector<Option> build_table() {
  std::vector<Option> table;
  for (const auto section : {data_options, model_options, optimizer_options, mode_options,
                             run_options, compare_options}) {
    std::ranges::move(section(), std::back_inserter(table));
  }
  const Settings defaults;
  for (Option& option : table) {
    if (option.default_text.empty()) option.default_text = text_of(option.get(defaults));
  }
  return table;
}

}  // namespace

const char* to_string(Section section) {
  switch (section) {
    case Section::data: return "Data";
    case Section::model: return "Model";
    case Section::optimizer: return "Optimizer";
    case Section::mode: return "Mode";
    case Section::run: return "Run";
    case Section::compare: return "Compare";
  }
  return "";
}

const std::vector<Option>& options() {
  static const std::vector<Option> table = build_table();
  return table;
}

const Option* find_option(std::string_view key) {
  const auto found = std::ranges::find(options(), key, &Option::key);
  return found == options().end() ? nullptr : &*found;
}

std::vector<std::string> option_keys(Commands commands) {
  std::vector<std::string> keys;
  for (const Option& option : options()) {
    if (option.commands & commands) keys.push_back(option.key);
  }
  return keys;
}

std::string variable_name(const std::string& key) {
  std::string name = "LOCKSTEP_" + key;
  std::ranges::transform(name, name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

std::string json_name(const std::string& key) {
  std::string name = key;
  std::ranges::replace(name, '-', '_');
  return name;
}

Json config_json(const Settings& settings, Commands commands) {
  Json config = Json::object();
  for (const Option& option : options()) {
    if (option.saved && (option.commands & commands)) {
      config[json_name(option.key)] = option.get(settings);
    }
  }
  return config;
}

}  // namespace lockstep::cli
