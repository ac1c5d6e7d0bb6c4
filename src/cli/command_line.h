// argv: which command, with which options.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/sources.h"

namespace lockstep::cli {

// One command of the program, `lockstep NAME`.
struct CommandSpec {
  std::string name;        // "train", "data info"
  std::string summary;     // one line for --help
  std::string positional;  // how --help names its argument; empty: it has none
  bool positional_required = false;
  Commands options = kOther;  // which options it takes
  bool ranks = false;         // several processes, started by mpirun, can do it together
};

const std::vector<CommandSpec>& command_specs();

struct Invocation {
  const CommandSpec* command = nullptr;  // null: `help` or `version` alone
  std::string positional;
  GivenValues flags;
  bool help = false;
  bool version = false;
};

// Throws Error{usage}: an unknown command, option or argument, naming the nearest known one.
Invocation parse_command_line(int argc, const char* const* argv);

// Whether argv asks for --json; also where the rest of it cannot be parsed.
bool asks_for_json(int argc, const char* const* argv);

// --help of the program (null) or of one command, wrapped to `width` columns.
std::string help_text(const CommandSpec* command, int width);

}  // namespace lockstep::cli
