// --help, from the tables of commands and options.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cli/command_line.h"

namespace lockstep::cli {

namespace {

constexpr size_t kNameWidth = 28;  // columns before the explanations

// Breaks `text` at blanks into lines of at most `width` letters.
std::vector<std::string> wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    const std::string_view word = text.substr(0, blank);
    text = blank == std::string_view::npos ? std::string_view{} : text.substr(blank + 1);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

// "  name   explanation", the explanation wrapped in a column of its own.
std::string entry(const std::string& name, const std::string& text, int width) {
  const size_t room = std::max<size_t>(static_cast<size_t>(width), kNameWidth + 20) - kNameWidth;
  std::string left = "  " + name;
  std::string result;
  if (left.size() + 2 > kNameWidth) {
    result = left + "\n";
    left.clear();
  }
  for (const std::string& line : wrap(text, room)) {
    result += fmt::format("{:<{}}{}\n", left, kNameWidth, line);
    left.clear();
  }
  return result;
}

std::string option_entry(const Option& option, int width) {
  const std::string name =
      option.value.empty() ? "--" + option.key : fmt::format("--{} {}", option.key, option.value);
  const std::string text = option.default_text.empty()
                               ? option.help
                               : fmt::format("{} [{}]", option.help, option.default_text);
  return entry(name, text, width);
}

std::string program_help(int width) {
  std::string text =
      "Lockstep trains small networks under every execution model, and shows what each costs.\n\n"
      "Usage: lockstep COMMAND [options]\n\nCommands\n";
  for (const CommandSpec& spec : command_specs()) {
    const std::string name =
        spec.positional.empty() ? spec.name : fmt::format("{} {}", spec.name, spec.positional);
    text += entry(name, spec.summary, width);
  }
  text += entry("--version", "the version, and what is built in", width);
  text +=
      "\n`lockstep COMMAND --help` lists a command's options. Start with `lockstep compare`: one\n"
      "job, embedded in the program, under every mode that this machine can run.\n"
      "\nExit codes: 0 ok, 1 runtime, 2 usage or configuration, 3 data, 4 device,\n"
      "5 communication, 6 verification failed or training diverged, 130 and 143 interrupted.\n";
  return text;
}

}  // namespace

std::string help_text(const CommandSpec* command, int width) {
  if (command == nullptr) return program_help(width);
  std::string text =
      fmt::format("Usage: lockstep {}{}{} [options]\n\n{}\n", command->name,
                  command->positional.empty() ? "" : " ", command->positional, command->summary);
  for (const Section section : {Section::data, Section::model, Section::optimizer, Section::mode,
                                Section::run, Section::compare}) {
    bool first = true;
    for (const Option& option : options()) {
      if (option.section != section || !(option.commands & command->options)) continue;
      if (first) text += fmt::format("\n{}\n", to_string(section));
      first = false;
      text += option_entry(option, width);
    }
  }
  if (command->options & kTraining) {
    text +=
        "\nThe same keys stand in TOML files, and in LOCKSTEP_* variables (LOCKSTEP_BATCH_SIZE). "
        "A\n"
        "flag beats a variable, a variable a file, a file the default. LOCKSTEP_DATA is the "
        "folder\n"
        "of named data sets.\n";
  }
  return text;
}

}  // namespace lockstep::cli
