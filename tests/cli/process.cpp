#include "cli/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace lockstep::testing {

namespace {

constexpr auto kDeadline = std::chrono::seconds(120);

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

Words program_with(const Words& arguments) {
  Words words = {program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

// Ours without any LOCKSTEP_* option that the tests were started with, and without colour.
std::vector<std::string> environment_with(const Words& added) {
  std::vector<std::string> words;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string word = *entry;
    const bool keep = !word.starts_with("LOCKSTEP_") || word.starts_with("LOCKSTEP_DATA=");
    if (keep) words.push_back(word);
  }
  words.insert(words.end(), added.begin(), added.end());
  return words;
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

std::string program() {
  const char* moved = std::getenv("LOCKSTEP_TEST_PROGRAM");
  return moved != nullptr ? moved : LOCKSTEP_PROGRAM;
}

nlohmann::json ProcessResult::document() const {
  nlohmann::json json = nlohmann::json::parse(out, nullptr, false);
  EXPECT_TRUE(json.is_object()) << "stdout is not one JSON document:\n" << out << "\n" << err;
  return json;
}

Process::Process(const Words& arguments, const std::string& folder, const Words& environment)
    : Command(program_with(arguments), folder, environment) {}

Command::Command(const Words& given, const std::string& folder, const Words& environment)
    : out_path_(folder + "/stdout"), err_path_(folder + "/stderr") {
  Words words = given;
  Words all_environment = environment_with(environment);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path_.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path_.c_str(), kWrite, 0600);
  const int error = posix_spawn(&pid_, given[0].c_str(), &actions, nullptr,
                                pointers_to(words).data(), pointers_to(all_environment).data());
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(error, 0) << "cannot start " << given[0];
  if (error != 0) ended_ = true;
}

Command::~Command() {
  if (ended_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, &status_, 0);
}

void Command::send(int signal) const {
  kill(pid_, signal);
}

bool Command::ended() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

bool Command::wait_for_error_text(const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (std::chrono::steady_clock::now() < deadline) {
    if (read_file(err_path_).find(text) != std::string::npos) return true;
    if (ended()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

ProcessResult Command::wait() {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!ended()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the program hangs; stderr:\n" << read_file(err_path_);
      kill(pid_, SIGKILL);
      waitpid(pid_, &status_, 0);
      ended_ = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {exit_code_of(status_), read_file(out_path_), read_file(err_path_)};
}

ProcessResult run_program(const Words& arguments, const Words& environment) {
  const TemporaryFolder folder;
  Process process(arguments, folder.file(""), environment);
  return process.wait();
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "lockstep-test-XXXXXX").string();
  path_ = mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, const std::string& content) const {
  std::ofstream(file(name), std::ios::binary) << content;
  return file(name);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace lockstep::testing
