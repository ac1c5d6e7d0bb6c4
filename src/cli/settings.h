// Everything that a command was told: Config for the library, the rest for the command line.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/values.h"
#include "lockstep/config.h"

namespace lockstep::cli {

// A [[mode]] table of a TOML file: a mode with options of its own, for compare.
struct ModeTable {
  std::string mode;  // "sync:2"
  std::string name;  // its row's name; empty: made from the options
  std::vector<std::pair<std::string, std::string>> options;  // key and text, in the file's order
};

struct Settings {
  Config config;

  // Run.
  bool json = false;
  bool dry_run = false;
  bool quiet = false;
  bool verbose = false;

  // compare.
  std::vector<std::string> modes;  // empty and no tables: every mode that this machine can run
  std::vector<ModeTable> mode_tables;
  std::vector<int> workers_list;  // a mode without a number of workers runs with each of these
  std::string baseline;           // empty: serial, where it is among the modes
  int repeats = 3;                // timed runs of each mode, interleaved
  int warmup = 1;                 // untimed runs of one epoch before them

  // eval, predict.
  std::string checkpoint;
  std::string output;

  // From the experiment or TOML file.
  std::string source;  // its name or path; empty: none
  std::string title;
  std::string description;
  Json published;  // the published study's figures, null without

  std::set<std::string> given;  // keys that something other than the defaults set
};

}  // namespace lockstep::cli
