#include "cli/toml_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "cli/experiments.h"
#include "lockstep/error.h"
#include "report/document.h"
#include "train/nearest.h"

namespace lockstep::cli {

namespace {

// Where in which file: "job.toml, line 3".
std::string place(const std::string& file, const toml::source_region& region) {
  return fmt::format("{}, line {}", file, region.begin.line);
}

[[noreturn]] void refuse(const std::string& where, const std::string& what, std::string remedy) {
  throw Error(ErrorKind::usage, fmt::format("{}: {}", where, what), std::move(remedy));
}

// A TOML value as the text of an option's value; nothing for tables and dates.
std::optional<std::string> text_of(const toml::node& node) {
  if (const auto value = node.as_string()) return value->get();
  if (const auto value = node.as_boolean()) return value->get() ? "true" : "false";
  if (const auto value = node.as_integer()) return fmt::format("{}", value->get());
  if (const auto value = node.as_floating_point()) return fmt::format("{}", value->get());
  const toml::array* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::string joined;
  for (const toml::node& entry : *array) {
    const auto text = text_of(entry);
    if (!text) return std::nullopt;
    if (!joined.empty()) joined += ',';
    joined += *text;
  }
  return joined;
}

Json json_of(const toml::node& node) {
  if (const auto value = node.as_string()) return value->get();
  if (const auto value = node.as_boolean()) return value->get();
  if (const auto value = node.as_integer()) return value->get();
  if (const auto value = node.as_floating_point()) return value->get();
  if (const toml::array* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& entry : *array) list.push_back(json_of(entry));
    return list;
  }
  Json object = Json::object();
  if (const toml::table* table = node.as_table()) {
    for (const auto& [key, value] : *table) object[std::string(key.str())] = json_of(value);
  }
  return object;
}

GivenValue option_value(const std::string& file, const toml::key& key, const toml::node& node,
                        const std::vector<std::string>& other_keys) {
  const std::string name(key.str());
  const std::string where = place(file, key.source());
  if (find_option(name) == nullptr) {
    std::vector<std::string> known = option_keys(kTraining);
    known.insert(known.end(), other_keys.begin(), other_keys.end());
    refuse(where, fmt::format("unknown key '{}'", name), suggestion(name, known));
  }
  const auto text = text_of(node);
  if (!text)
    refuse(where, fmt::format("'{}' has no value of its kind", name), "give a value or list");
  return {name, *text, fmt::format("{}: {}", where, name)};
}

std::string required_text(const std::string& where, const char* key, const toml::node& node) {
  const auto* text = node.as_string();
  if (text == nullptr) refuse(where, fmt::format("'{}' is not a text", key), "put it in quotes");
  return text->get();
}

ModeTable read_mode(const std::string& file, const toml::table& table) {
  ModeTable mode;
  for (const auto& [key, node] : table) {
    const std::string where = place(file, key.source());
    if (key.str() == "mode") {
      mode.mode = required_text(where, "mode", node);
    } else if (key.str() == "name") {
      mode.name = required_text(where, "name", node);
    } else {
      const GivenValue value = option_value(file, key, node, {"mode", "name"});
      Settings scratch;
      apply_values({value}, scratch);  // a bad value is refused here, where its line is known
      mode.options.emplace_back(value.key, value.text);
    }
  }
  if (mode.mode.empty()) {
    refuse(place(file, table.source()), "a [[mode]] table without 'mode'",
           "add, for example, mode = \"sync:2\"");
  }
  return mode;
}

void read_modes(const std::string& file, const toml::node& node, Settings& settings) {
  const toml::array* tables = node.as_array();
  if (tables == nullptr || !tables->is_homogeneous<toml::table>()) {
    refuse(place(file, node.source()), "'mode' is not a list of tables", "write [[mode]]");
  }
  for (const toml::node& table : *tables) {
    settings.mode_tables.push_back(read_mode(file, *table.as_table()));
  }
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad()) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: {}", path, std::generic_category().message(errno)),
                "name a readable TOML file, or one of `lockstep experiments`");
  }
  return text;
}

}  // namespace

GivenValues read_toml(std::string_view text, const std::string& name, Settings& settings) {
  toml::table table;
  try {
    table = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    refuse(place(name, error.source()), std::string(error.description()), "correct the TOML");
  }
  GivenValues values;
  for (const auto& [key, node] : table) {
    const std::string where = place(name, key.source());
    if (key.str() == "title") {
      settings.title = required_text(where, "title", node);
    } else if (key.str() == "description") {
      settings.description = required_text(where, "description", node);
    } else if (key.str() == "published") {
      settings.published = json_of(node);
    } else if (key.str() == "mode") {
      read_modes(name, node, settings);
    } else {
      values.push_back(
          option_value(name, key, node, {"title", "description", "published", "mode"}));
    }
  }
  return values;
}

GivenValues read_experiment(const std::string& name_or_path, Settings& settings) {
  settings.source = name_or_path;
  for (const Experiment& experiment : experiments()) {
    if (experiment.name == name_or_path) {
      return read_toml(experiment.text, std::string(experiment.name) + ".toml", settings);
    }
  }
  std::error_code ignored;
  const bool is_path = name_or_path.find('/') != std::string::npos ||
                       name_or_path.ends_with(".toml") ||
                       std::filesystem::exists(name_or_path, ignored);
  if (is_path) return read_toml(read_file(name_or_path), name_or_path, settings);
  std::vector<std::string> names;
  for (const Experiment& experiment : experiments()) names.emplace_back(experiment.name);
  throw Error(ErrorKind::usage,
              fmt::format("no experiment and no file is named '{}'", name_or_path),
              suggestion(name_or_path, names));
}

namespace {

// JSON's numbers, texts and lists are TOML's, but for integers beyond 64 signed bits.
std::string toml_value(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) {
    return fmt::format("\"{}\"", value.get<uint64_t>());
  }
  return json_text(value);
}

void write_mode_tables(const Settings& settings, std::string& text) {
  for (const ModeTable& table : settings.mode_tables) {
    text += fmt::format("\n[[mode]]\nmode = {}\n", toml_value(table.mode));
    if (!table.name.empty()) text += fmt::format("name = {}\n", toml_value(table.name));
    for (const auto& [key, value] : table.options) {
      text += fmt::format("{} = {}\n", key, toml_value(value));
    }
  }
}

}  // namespace

std::string write_toml(const Settings& settings, Commands commands, const std::string& comment) {
  std::string text = fmt::format("# {}\n", comment);
  std::optional<Section> section;
  for (const Option& option : options()) {
    const Json value = option.saved && (option.commands & commands) ? option.get(settings) : Json();
    if (value.is_null()) continue;
    if (section != option.section) text += fmt::format("\n# {}\n", to_string(option.section));
    section = option.section;
    text += fmt::format("{} = {}\n", option.key, toml_value(value));
  }
  if (commands & kCompare) write_mode_tables(settings, text);
  return text;
}

}  // namespace lockstep::cli
