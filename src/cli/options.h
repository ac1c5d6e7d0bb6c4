// The ONE table of options. Flags, TOML keys, LOCKSTEP_* variables, --help, --dry-run, config.toml
// and the JSON document's "config" are all made from it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/settings.h"
#include "cli/values.h"

namespace lockstep::cli {

enum class Section { data, model, optimizer, mode, run, compare };
const char* to_string(Section section);

// The commands that take an option, as bits.
using Commands = unsigned;
inline constexpr Commands kTrain = 1, kCompare = 2, kEval = 4, kPredict = 8, kDataInfo = 16,
                          kDoctor = 32, kOther = 64;
inline constexpr Commands kTraining = kTrain | kCompare;
inline constexpr Commands kEverywhere = kTraining | kEval | kPredict | kDataInfo | kDoctor | kOther;

struct Option {
  std::string key;  // "batch-size": flag --batch-size, TOML batch-size, LOCKSTEP_BATCH_SIZE
  Section section = Section::run;
  Commands commands = kTraining;
  std::string value;  // what stands for the value in --help; empty: a flag
  std::string help;
  std::string default_text;  // as --help shows it; empty: not worth a word
  std::string excludes;      // a key that this one replaces when it comes from a stronger source
  bool saved = true;         // part of the configuration: config.toml and JSON
  std::function<void(Settings&, const std::string&)> set;  // throws BadValue
  std::function<void(Settings&)> reset;                    // back to the default
  std::function<Json(const Settings&)> get;
};

const std::vector<Option>& options();
const Option* find_option(std::string_view key);

// The keys of the options that one of `commands` takes, in the table's order.
std::vector<std::string> option_keys(Commands commands);

// "batch-size" as an environment variable (LOCKSTEP_BATCH_SIZE) and as a JSON key (batch_size).
std::string variable_name(const std::string& key);
std::string json_name(const std::string& key);

// The saved options of `settings` as the JSON document's "config".
Json config_json(const Settings& settings, Commands commands);

// One section's rows; options.cpp joins them into the table.
std::vector<Option> data_options();
std::vector<Option> model_options();
std::vector<Option> optimizer_options();
std::vector<Option> mode_options();
std::vector<Option> run_options();
std::vector<Option> compare_options();

// A row whose value is the field of Settings that `access` names: `access` is a generic lambda,
// [](auto& s) -> auto& { return s.config.epochs; }.
template <class Access>
Option row(Section section, std::string key, std::string value, std::string help, Access access) {
  Option option;
  option.section = section;
  option.key = std::move(key);
  option.value = std::move(value);
  option.help = std::move(help);
  option.set = [access](Settings& settings, const std::string& text) {
    parse_value(text, access(settings));
  };
  option.reset = [access](Settings& settings) {
    Settings defaults;
    access(settings) = std::move(access(defaults));
  };
  option.get = [access](const Settings& settings) { return to_json(access(settings)); };
  return option;
}

}  // namespace lockstep::cli
