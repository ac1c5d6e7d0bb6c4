// What a command works with: its settings, the two streams, and the document that it fills.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/result_folder.h"
#include "cli/settings.h"
#include "lockstep/process_group.h"
#include "report/document.h"

namespace lockstep::cli {

struct Session {
  Invocation invocation;
  Settings settings;
  Console console;
  Document document;
  std::unique_ptr<ProcessGroup> joined;  // the ranks that a launcher started; null: one process
  std::unique_ptr<ResultFolder> folder;  // of --out, once it is known to be ours; rank 0's alone

  // This rank failed in a way that others may not know of: it ends them after so many seconds.
  std::optional<double> ends_all_after;

  ProcessGroup& processes() const { return joined ? *joined : single_process(); }
  bool speaks() const { return processes().rank() == 0; }

  // What all ranks do alike, up to a point where all have done it: a rank that fails in it fails on
  // all, and is heard once. Throws AgreedFailure where there are several ranks.
  template <class Work>
  auto together(Work&& work);

  // Narration that is also kept in the document.
  void warn(const std::string& warning) {
    document.warnings.push_back(warning);
    console.warning(warning);
  }

  // A result for people; with --json the document is the only thing on stdout.
  void print(const std::string& text) const {
    if (!settings.json && speaks()) print_result(text);
  }
};

template <class Work>
auto Session::together(Work&& work) {
  if (!joined) return work();
  std::optional<decltype(work())> result;
  std::optional<Error> failure;
  try {
    result = work();
  } catch (const Error& error) {
    failure = error;
  } catch (const std::exception& error) {
    failure = Error(ErrorKind::runtime, error.what());
  }
  agree_on(*joined, failure);
  return std::move(*result);
}

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
