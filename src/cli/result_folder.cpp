#include "cli/result_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <utility>

#include "lockstep/error.h"
#include "train/atomic_file.h"

namespace lockstep::cli {

namespace fs = std::filesystem;

namespace {

constexpr char kWhereToWrite[] = "give --out a folder that can be written to";

// The file's lines without comments and blank lines: what makes two configurations the same.
std::string settings_in(const std::string& toml) {
  std::istringstream lines(toml);
  std::string settings;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != '#') settings += line + "\n";
  }
  return settings;
}

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void require_same_configuration(const fs::path& folder, const std::string& config_toml) {
  std::error_code ignored;
  if (!fs::exists(folder / "result.json", ignored)) return;
  if (settings_in(content_of(folder / "config.toml")) == settings_in(config_toml)) return;
  throw Error(ErrorKind::usage,
              fmt::format("--out {}: the folder holds the result of another configuration",
                          folder.string()),
              "name another folder, or add --overwrite");
}

void remove_training_states(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) {
      fs::remove(entry.path(), ignored);
    }
  }
}

}  // namespace

ResultFolder::ResultFolder(std::string path, const std::string& config_toml, const Terms& terms)
    : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw Error(ErrorKind::runtime, fmt::format("--out {}: {}", path_, error.message()),
                kWhereToWrite);
  }
  if (!terms.overwrite && !terms.continues) require_same_configuration(path_, config_toml);
  write_file((fs::path(path_) / "config.toml").string(), config_toml);
  if (!terms.continues) {
    fs::remove(fs::path(path_) / "result.json", error);
    remove_training_states(path_);
  }
}

void ResultFolder::write_model(Checkpoint checkpoint) const {
  checkpoint.position.reset();
  checkpoint.config_json.clear();
  checkpoint.history_json.clear();
  checkpoint.optimizer_kind.clear();
  checkpoint.state_count = 0;
  checkpoint.state = {};
  checkpoint.best_values = {};
  save_checkpoint((fs::path(path_) / "model.safetensors").string(), checkpoint);
}

void ResultFolder::write_result(const Document& document) const {
  write_file((fs::path(path_) / "result.json").string(), document.text());
}

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return !a.empty() && !b.empty() && fs::equivalent(a, b, ignored);
}

void require_writable(const std::string& option, const std::string& path) {
  std::error_code ignored;
  try {
    if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) {
      if (fs::is_directory(path, ignored)) {
        throw Error(ErrorKind::runtime, path + " is a folder", "name a file in it");
      }
      if (access(path.c_str(), W_OK) == 0) return;
      throw Error(ErrorKind::runtime,
                  fmt::format("{}: {}", path, std::generic_category().message(errno)),
                  "name a file that can be written to");
    }
    const AtomicFile file(path);  // removed again
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}", option, error.what()), error.remedy());
  }
}

void write_file(const std::string& path, const std::string& content) {
  std::error_code ignored;
  if (!fs::exists(path, ignored) || fs::is_regular_file(path, ignored)) {
    AtomicFile file(path);
    file.write(content.data(), content.size());
    file.commit();
    return;
  }
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw Error(ErrorKind::runtime,
                fmt::format("{}: {}", path, std::generic_category().message(errno)),
                "name a file that can be written to");
  }
  try {
    write_all(descriptor, content.data(), content.size(), path);
  } catch (...) {
    close(descriptor);
    throw;
  }
  close(descriptor);
}

}  // namespace lockstep::cli
