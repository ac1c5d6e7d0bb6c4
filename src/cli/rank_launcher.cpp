#include "cli/rank_launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <thread>

#include "cli/options.h"
#include "cli/result_folder.h"
#include "cli/toml_file.h"
#include "lockstep/process_group.h"
#include "report/run_from_json.h"
#include "train/machine.h"

namespace lockstep::cli {

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

// A folder of its own for one start, removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (fs::temp_directory_path() / "lockstep-ranks-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorKind::runtime,
                  fmt::format("cannot make a folder in {}: {}", fs::temp_directory_path().string(),
                              std::generic_category().message(errno)),
                  "set TMPDIR to a folder that can be written to");
    }
    path_ = pattern;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string file(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

std::string text_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The program's options stand in the file that it is given: variables would beat them. Root may
// start ranks here, since root started this.
Words environment_of_ranks() {
  Words words = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view word = *entry;
    const bool option = word.starts_with("LOCKSTEP_") && !word.starts_with("LOCKSTEP_DATA=") &&
                        !word.starts_with("LOCKSTEP_EMULATOR_");
    if (!option && !word.starts_with("OMPI_ALLOW_RUN_AS_ROOT")) words.emplace_back(word);
  }
  return words;
}

// Ranks divide the processors among themselves: mpirun binds them to none.
Words command_line(int ranks, const std::string& job) {
  Words words = {"mpirun"};
  if (mpi_version().starts_with("Open MPI")) {
    words.insert(words.end(), {"--bind-to", "none"});
    if (ranks > usable_cpus()) words.emplace_back("--oversubscribe");
  }
  words.insert(words.end(), {"-n", std::to_string(ranks), fs::read_symlink("/proc/self/exe"),
                             "train", job, "--json", "--quiet"});
  return words;
}

std::vector<char*> pointers_to(Words& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

pid_t start(Words words, const std::string& out, const std::string& err) {
  Words environment = environment_of_ranks();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), kWrite, 0600);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, words[0].c_str(), &actions, nullptr,
                                 pointers_to(words).data(), pointers_to(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw Error(ErrorKind::device,
                fmt::format("mpirun cannot be started: {}", std::generic_category().message(error)),
                "install openmpi-bin, or leave out the modes with @mpi");
  }
  return pid;
}

int wait_for(pid_t pid, const std::atomic<int>& stop) {
  bool told = false;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (told || stop.load() == 0) continue;
    kill(pid, SIGTERM);
    told = true;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

constexpr ErrorKind kKinds[] = {ErrorKind::usage, ErrorKind::data, ErrorKind::device,
                                ErrorKind::communication, ErrorKind::diverged};

ErrorKind kind_named(const std::string& name) {
  for (const ErrorKind kind : kKinds) {
    if (name == to_string(kind)) return kind;
  }
  return ErrorKind::runtime;
}

RunResult result_of(const std::string& out, const std::string& err, int code) {
  try {
    const Json document = Json::parse(out);
    const Json& error = document.at("error");
    if (error.is_object()) {
      throw Error(kind_named(error.at("kind").get<std::string>()),
                  error.at("message").get<std::string>());
    }
    return run_from_json(document.at("runs").at(0));
  } catch (const Json::exception&) {
    throw Error(ErrorKind::runtime,
                fmt::format("mpirun ended with code {} and no result: {}", code,
                            err.substr(0, err.find('\n'))),
                "try it by hand: mpirun -n 2 lockstep train");
  }
}

}  // namespace

RunResult train_on_ranks(const Settings& settings, const Resolved& resolved,
                         const std::atomic<int>& stop) {
  const ScratchFolder folder;
  Settings job = settings;
  job.config = resolved.config;
  job.config.device = "cpu";
  job.config.workers = 1;
  write_file(folder.file("job.toml"), write_toml(job, kTrain, "one mode of a comparison"));
  const pid_t pid = start(command_line(resolved.ranks, folder.file("job.toml")),
                          folder.file("stdout"), folder.file("stderr"));
  const int code = wait_for(pid, stop);
  return result_of(text_in(folder.file("stdout")), text_in(folder.file("stderr")), code);
}

}  // namespace lockstep::cli
