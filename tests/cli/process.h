// Runs the program as a user's shell would.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep::testing {

struct ProcessResult {
  int exit_code = 0;  // 128 + N where signal N ended it
  std::string out;
  std::string err;

  // Fails the test where stdout is not exactly one JSON document.
  nlohmann::json document() const;
};

using Words = std::vector<std::string>;

// `lockstep ARGUMENTS` with `environment` ("NAME=value") added to ours. Without a terminal.
ProcessResult run_program(const Words& arguments, const Words& environment = {});

// The program of this build; LOCKSTEP_TEST_PROGRAM names it where the build was moved.
std::string program();

// Starts a command, words[0] a path, with stdout and stderr in files; wait() returns what it wrote.
class Command {
 public:
  Command(const Words& words, const std::string& folder, const Words& environment = {});
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  pid_t pid() const { return pid_; }
  void send(int signal) const;
  // Blocks until stderr contains `text`, or the process ended; false in that case.
  bool wait_for_error_text(const std::string& text);
  ProcessResult wait();

 private:
  bool ended();

  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string out_path_, err_path_;
};

// The program.
class Process : public Command {
 public:
  Process(const Words& arguments, const std::string& folder, const Words& environment = {});
};

// A folder of its own for one test, removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

std::string read_file(const std::string& path);

}  // namespace lockstep::testing
