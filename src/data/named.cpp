#include "data/named.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "data/environment.h"
#include "lockstep/data.h"
#include "lockstep/error.h"

namespace lockstep {

std::vector<std::string> data_folders(const std::string& name) {
  std::vector<std::filesystem::path> roots;
  const std::string chosen = environment_variable("LOCKSTEP_DATA");
  const std::string home = environment_variable("HOME");
  if (!chosen.empty()) {
    roots.emplace_back(chosen);
  } else if (!home.empty()) {
    roots.push_back(std::filesystem::path(home) / ".cache" / "lockstep");
  }
  roots.emplace_back("data");
  std::vector<std::string> folders;
  folders.reserve(roots.size());
  for (const auto& root : roots) folders.push_back((root / name).string());
  return folders;
}

std::string plain_or_gz(const std::string& folder, const std::string& file) {
  std::string plain = (std::filesystem::path(folder) / file).string();
  std::error_code ignored;
  if (std::filesystem::exists(plain, ignored)) return plain;
  if (std::filesystem::exists(plain + ".gz", ignored)) return plain + ".gz";
  return {};
}

std::string find_named_set(const DataSpec& spec, const std::string& name,
                           const std::vector<std::string>& files) {
  const auto folders = spec.paths.empty() ? data_folders(name) : spec.paths;
  std::string partly;
  for (const std::string& folder : folders) {
    std::vector<std::string> missing;
    for (const std::string& file : files) {
      if (plain_or_gz(folder, file).empty()) missing.push_back(file);
    }
    if (missing.empty()) return folder;
    if (missing.size() < files.size()) {
      partly += fmt::format("; {} lacks {}", folder, fmt::join(missing, ", "));
    }
  }
  throw Error(ErrorKind::data,
              fmt::format("data set '{}' is not there: looked in {} for {}{}", name,
                          fmt::join(folders, ", "), fmt::join(files, ", "), partly),
              fmt::format("run `lockstep data fetch {0}`, or name its folder: {0}:FOLDER", name));
}

}  // namespace lockstep
