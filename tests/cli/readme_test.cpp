// README.md says what the program does: its options with their defaults, its examples, its exit
// codes.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "cli/command_line.h"
#include "cli/sources.h"
#include "lockstep/error.h"

namespace lockstep::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kReadmeWidth = 100;

std::string readme() {
  std::ifstream file(LOCKSTEP_README);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(text.empty()) << LOCKSTEP_README;
  return text;
}

std::string help_of(const std::string& command) {
  for (const CommandSpec& spec : command_specs()) {
    if (spec.name == command) return help_text(&spec, kReadmeWidth);
  }
  ADD_FAILURE() << command;
  return "";
}

// The inside of the ``` blocks.
std::vector<std::string> code_blocks(const std::string& text) {
  std::vector<std::string> blocks;
  bool inside = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
      if (inside) blocks.emplace_back();
    } else if (inside) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

// The options that a text names, without their dashes.
std::set<std::string> options_in(const std::string& text) {
  std::set<std::string> keys;
  const std::regex option("(^|[^-\\w])--([a-z][a-z0-9-]*)");
  for (std::sregex_iterator match(text.begin(), text.end(), option), end; match != end; ++match) {
    keys.insert((*match)[2]);
  }
  return keys;
}

TEST(Readme, shows_the_help_of_train_with_its_defaults) {
  EXPECT_THAT(readme(), HasSubstr("$ lockstep train --help\n" + help_of("train") + "```"));
}

TEST(Readme, shows_what_compare_adds) {
  const std::string help = help_of("compare");
  const size_t begin = help.find("\nCompare\n") + 1;
  const std::string section = help.substr(begin, help.find("\n\n", begin) - begin);
  EXPECT_THAT(section, HasSubstr("--modes"));
  EXPECT_THAT(readme(), HasSubstr(section + "\n"));
}

TEST(Readme, names_every_option_of_every_command) {
  const std::set<std::string> named = options_in(readme());
  for (const Option& option : options()) EXPECT_TRUE(named.contains(option.key)) << option.key;
}

TEST(Readme, names_no_option_that_there_is_not) {
  // Of CMake, of scripts/test, of the launchers, and of a profiler.
  const std::set<std::string> others = {"build",
                                        "install",
                                        "prefix",
                                        "preset",
                                        "all",
                                        "mpi",
                                        "host",
                                        "mca",
                                        "no-python",
                                        "nproc-per-node",
                                        "gpus-per-task",
                                        "output-filename",
                                        "cuda-graph-trace"};
  for (const std::string& key : options_in(readme())) {
    const bool known = find_option(key) || key == "help" || key == "version";
    EXPECT_TRUE(known || others.contains(key)) << "--" << key;
  }
}

// As a shell takes them: "..." is one.
std::vector<std::string> words_of(const std::string& line) {
  static const std::regex word("\"([^\"]*)\"|(\\S+)");
  std::vector<std::string> words;
  for (std::sregex_iterator match(line.begin(), line.end(), word), end; match != end; ++match) {
    words.push_back((*match)[1].matched ? (*match)[1] : (*match)[2]);
  }
  return words;
}

TEST(Readme, its_examples_are_command_lines_that_the_program_takes) {
  int examples = 0;
  const std::regex continued("\\\\\n *");
  for (const std::string& block : code_blocks(readme())) {
    std::istringstream lines(std::regex_replace(block, continued, ""));
    for (std::string line; std::getline(lines, line);) {
      // Not the summary of commands, whose arguments are placeholders.
      if (!line.starts_with("lockstep ") || line.find_first_of("[|") != std::string::npos) continue;
      if (line.find("   ") != std::string::npos) continue;
      const std::vector<std::string> words = words_of(line);
      std::vector<const char*> arguments;
      for (const std::string& word : words) arguments.push_back(word.c_str());
      Settings settings;
      EXPECT_NO_THROW(apply_values(
          parse_command_line(static_cast<int>(arguments.size()), arguments.data()).flags, settings))
          << line;
      ++examples;
    }
  }
  EXPECT_GE(examples, 6);
}

TEST(Readme, lists_the_exit_code_of_every_kind_of_error) {
  const std::string text = readme();
  const size_t begin = text.find("## Exit codes");
  const std::string section = text.substr(begin, text.find("\n## ", begin + 1) - begin);
  for (const ErrorKind kind :
       {ErrorKind::runtime, ErrorKind::usage, ErrorKind::data, ErrorKind::device,
        ErrorKind::communication, ErrorKind::diverged, ErrorKind::verification}) {
    const std::string row = fmt::format("\n| {} | ", exit_code(kind));
    ASSERT_THAT(section, HasSubstr(row));
    const size_t at = section.find(row) + row.size();
    EXPECT_THAT(section.substr(at, section.find('\n', at) - at), HasSubstr(to_string(kind)));
  }
}

}  // namespace
}  // namespace lockstep::cli
