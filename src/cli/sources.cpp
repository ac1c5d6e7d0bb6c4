#include "cli/sources.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "lockstep/error.h"
#include "train/nearest.h"

namespace lockstep::cli {

namespace {

constexpr std::string_view kPrefix = "LOCKSTEP_";
// Variables of the data sets: no options.
constexpr std::string_view kDataFolder = "LOCKSTEP_DATA";
constexpr std::string_view kDataUrl = "LOCKSTEP_DATA_URL";

void set(const Option& option, const GivenValue& value, Settings& settings) {
  try {
    option.set(settings, value.text);
  } catch (const BadValue& bad) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: '{}' is not {}", value.origin, value.text, bad.expected),
                bad.remedy.empty() ? fmt::format("give {}", bad.expected) : bad.remedy);
  }
}

// A slip of the fingers, not another program's variable that happens to share the prefix.
bool looks_mistyped(std::string_view name, std::string_view option) {
  return name.size() >= kPrefix.size() + 5 && edit_distance(name, option) <= 2;
}

void refuse_mistyped(const std::string& name) {
  std::vector<std::string> known;
  for (const Option& option : options()) known.push_back(variable_name(option.key));
  const auto close = nearest(name, known);
  if (!close || !looks_mistyped(name, *close)) return;
  throw Error(ErrorKind::usage, fmt::format("environment variable {}: no such option", name),
              fmt::format("did you mean {}? Otherwise unset it", *close));
}

}  // namespace

bool holds(const GivenValues& values, const std::string& key) {
  return std::ranges::find(values, key, &GivenValue::key) != values.end();
}

void apply_values(const GivenValues& values, Settings& settings) {
  for (const GivenValue& value : values) {
    const Option& option = *find_option(value.key);
    if (!option.excludes.empty() && !holds(values, option.excludes)) {
      find_option(option.excludes)->reset(settings);
      settings.given.erase(option.excludes);
    }
    set(option, value, settings);
    settings.given.insert(value.key);
  }
}

GivenValues environment_values(Commands commands) {
  GivenValues values;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string name(text.substr(0, equals));
    if (name == kDataFolder || name == kDataUrl) continue;
    const auto option =
        std::ranges::find(options(), name, [](const Option& o) { return variable_name(o.key); });
    if (option == options().end()) {
      refuse_mistyped(name);
    } else if (option->commands & commands) {
      values.push_back({option->key, std::string(text.substr(equals + 1)), name});
    }
  }
  return values;
}

void finish(Settings& settings) {
  constexpr double kAdamRate = 0.001;
  Config& config = settings.config;
  if (config.optimizer.kind != OptimizerKind::sgd && !settings.given.contains("lr")) {
    config.optimizer.learning_rate = kAdamRate;
  }
  if (config.model.model == "logistic") {
    if (settings.given.contains("hidden")) {
      throw Error(ErrorKind::usage, "--hidden with --model logistic: it has no hidden layer",
                  "leave out --hidden, or use --model mlp");
    }
    config.model.hidden.clear();
  }
  for (const int workers : settings.workers_list) {
    if (workers >= 1) continue;
    throw Error(ErrorKind::usage, fmt::format("--workers-list {}: out of range", workers),
                "give whole numbers from 1 on: 1,2,4");
  }
  if (settings.repeats < 1) {
    throw Error(ErrorKind::usage, fmt::format("--repeats {}: out of range", settings.repeats),
                "give a whole number from 1 on");
  }
  if (settings.warmup < 0) {
    throw Error(ErrorKind::usage, fmt::format("--warmup {}: out of range", settings.warmup),
                "give a whole number from 0 on");
  }
}

}  // namespace lockstep::cli
