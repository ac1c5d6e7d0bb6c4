#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <deque>
#include <string_view>
#include <utility>

#include "lockstep/error.h"
#include "train/nearest.h"

namespace lockstep::cli {

namespace {

[[noreturn]] void refuse(const std::string& message, const std::string& remedy) {
  throw Error(ErrorKind::usage, message, remedy);
}

// A CLI11 option, the row of the table that it stands for, and where its text goes.
struct Binding {
  const Option* row;
  CLI::Option* option;
  std::string text;
};

struct Parser {
  CLI::App app;
  std::string positional;
  std::deque<Binding> bindings;  // CLI11 keeps references to the texts
  bool help = false;

  explicit Parser(const CommandSpec& command) {
    app.set_help_flag();
    app.add_flag("-h,--help", help);
    app.allow_extras();
    if (!command.positional.empty()) app.add_option("argument", positional);
    for (const Option& row : options()) {
      if (row.commands & command.options) add(row);
    }
  }

  void add(const Option& row) {
    Binding& binding = bindings.emplace_back(Binding{&row, nullptr, {}});
    const std::string flag = "--" + row.key;
    binding.option =
        row.value.empty() ? app.add_flag(flag, binding.text) : app.add_option(flag, binding.text);
    binding.option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
};

[[noreturn]] void refuse_extra(const CommandSpec& command, const std::vector<std::string>& extras) {
  for (const std::string& extra : extras) {
    if (!extra.starts_with('-')) continue;
    const std::string name = extra.substr(0, extra.find('='));
    std::vector<std::string> known = {"--help"};
    for (const std::string& key : option_keys(command.options)) known.push_back("--" + key);
    const auto close = name == "--" ? std::nullopt : nearest(name, known);
    refuse(fmt::format("unknown option {}", name),
           close ? fmt::format("did you mean {}?", *close)
                 : fmt::format("`lockstep {} --help` lists the options", command.name));
  }
  refuse(fmt::format("unexpected argument '{}'", extras.front()),
         fmt::format("see `lockstep {} --help`", command.name));
}

// The command that argv's first words name, and how many words those are.
std::pair<const CommandSpec*, int> find_command(const std::vector<std::string>& words) {
  const CommandSpec* found = nullptr;
  int length = 0;
  for (const CommandSpec& spec : command_specs()) {
    const bool two = spec.name.find(' ') != std::string::npos;
    const std::string given = two && words.size() > 1 ? words[0] + " " + words[1] : words[0];
    if (given == spec.name && (found == nullptr || two)) {
      found = &spec;
      length = two ? 2 : 1;
    }
  }
  return {found, length};
}

[[noreturn]] void refuse_command(const std::vector<std::string>& words) {
  std::vector<std::string> names;  // of commands, or of the second words of a group such as `data`
  std::vector<std::string> in_group;
  for (const CommandSpec& spec : command_specs()) {
    const size_t space = spec.name.find(' ');
    const std::string name = spec.name.substr(0, space);
    if (names.empty() || names.back() != name) names.push_back(name);
    if (space != std::string::npos && name == words[0]) in_group.push_back(spec.name);
  }
  if (in_group.empty()) {
    refuse(fmt::format("unknown command '{}'", words[0]), suggestion(words[0], names));
  }
  const std::string given = words.size() > 1 ? words[0] + " " + words[1] : words[0];
  refuse(fmt::format("'{}' is no command", given), suggestion(given, in_group));
}

}  // namespace

const std::vector<CommandSpec>& command_specs() {
  static const std::vector<CommandSpec> specs = {
      {"train", "one training run", "[EXPERIMENT|FILE.toml]", false, kTrain, true},
      {"compare", "the same job under several execution modes", "[EXPERIMENT|FILE.toml]", false,
       kCompare},
      {"eval", "judge a trained model on data with labels", "", false, kEval},
      {"predict", "apply a trained model to data", "", false, kPredict},
      {"doctor", "what this machine offers, and what is in the way", "", false, kDoctor, true},
      {"data info", "what a data set holds", "SPEC", true, kDataInfo},
      {"data fetch", "download a named data set", "NAME", true, kOther},
      {"experiments", "list the built-in experiments", "", false, kOther},
      {"experiments show", "print a built-in experiment's TOML", "NAME", true, kOther},
  };
  return specs;
}

Invocation parse_command_line(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  Invocation invocation;
  if (words.empty()) {
    refuse("no command", "for example `lockstep compare`; `lockstep --help` lists the commands");
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    invocation.help = true;
    return invocation;
  }
  if (words[0] == "--version") {
    invocation.version = true;
    return invocation;
  }
  const auto [command, length] = find_command(words);
  if (command == nullptr) refuse_command(words);
  invocation.command = command;

  Parser parser(*command);
  std::vector<std::string> rest(words.rbegin(),
                                words.rend() - length);  // CLI11 takes them reversed
  try {
    parser.app.parse(std::move(rest));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();  // "--epochs: 1 required TEXT missing"
    refuse(fmt::format("{}: its value is missing", text.substr(0, text.find(':'))),
           fmt::format("see `lockstep {} --help`", command->name));
  } catch (const CLI::ParseError& error) {
    refuse(error.what(), fmt::format("see `lockstep {} --help`", command->name));
  }
  invocation.help = parser.help;
  if (invocation.help) return invocation;
  if (const auto extras = parser.app.remaining(); !extras.empty()) refuse_extra(*command, extras);
  if (command->positional_required && parser.positional.empty()) {
    refuse(fmt::format("lockstep {} needs {}", command->name, command->positional),
           fmt::format("see `lockstep {} --help`", command->name));
  }
  invocation.positional = parser.positional;
  for (const Binding& binding : parser.bindings) {
    if (binding.option->count() == 0) continue;
    invocation.flags.push_back({binding.row->key, binding.text, "--" + binding.row->key});
  }
  return invocation;
}

bool asks_for_json(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") return false;
    if (word == "--json" || word == "--json=true") return true;
  }
  return false;
}

}  // namespace lockstep::cli
