// What a command works with: its settings, the two streams, and the document that it fills.
#pragma once

#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/result_folder.h"
#include "cli/settings.h"
#include "report/document.h"

namespace lockstep::cli {

struct Session {
  Invocation invocation;
  Settings settings;
  Console console;
  Document document;
  std::unique_ptr<ResultFolder> folder;  // of --out, once it is known to be ours

  // Narration that is also kept in the document.
  void warn(const std::string& warning) {
    document.warnings.push_back(warning);
    console.warning(warning);
  }

  // A result for people; with --json the document is the only thing on stdout.
  void print(const std::string& text) const {
    if (!settings.json) print_result(text);
  }
};

// The commands. Each returns the exit code; failures are thrown.
int train_command(Session& session);
int compare_command(Session& session);
int eval_command(Session& session);
int predict_command(Session& session);
int doctor_command(Session& session);
int data_info_command(Session& session);
int data_fetch_command(Session& session);
int experiments_command(Session& session);
int experiments_show_command(Session& session);

// `lockstep --version`: the version and what is built in.
std::string version_text();

// The whole program: parses, runs, reports; catches what was thrown. Returns the exit code.
int run(int argc, const char* const* argv);

}  // namespace lockstep::cli
