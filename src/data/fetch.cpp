#include "lockstep/fetch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "data/download.h"
#include "data/environment.h"
#include "data/fetch_plan.h"
#include "lockstep/data.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> chosen_sources(const FetchPlan& plan, const FetchOptions& options) {
  if (!options.sources.empty()) return options.sources;
  std::string rest = environment_variable("LOCKSTEP_DATA_URL");
  if (rest.empty()) return plan.sources;
  std::vector<std::string> sources;
  for (size_t comma = 0; comma != std::string::npos;) {
    comma = rest.find(',');
    sources.push_back(rest.substr(0, comma));
    if (comma != std::string::npos) rest.erase(0, comma + 1);
  }
  return sources;
}

int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(size);
}

void rename_to(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (!error) return;
  throw Error(
      ErrorKind::runtime,
      fmt::format("cannot rename {} to {}: {}", from.string(), to.string(), error.message()),
      "check the folder's permissions");
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return;
  throw Error(ErrorKind::runtime,
              fmt::format("cannot create the folder {}: {}", folder.string(), error.message()),
              "name another one in LOCKSTEP_DATA");
}

// Brings one plan into one folder.
class Fetcher {
 public:
  Fetcher(const FetchPlan& plan, const FetchOptions& options)
      : plan_(plan),
        options_(options),
        sources_(chosen_sources(plan, options)),
        folder_(options.folder.empty() ? data_folders(plan.name).front() : options.folder) {}

  FetchReport run() {
    make_folder(folder_);
    report_.folder = folder_.string();
    for (const FetchFile& file : plan_.files) {
      if (!is_there(file)) {
        const fs::path path = folder_ / file.name;
        if (!fs::exists(path) || !check_file(path.string(), file.checksum).empty()) get(file);
        if (!file.members.empty()) unpack(file);
      }
      if (file.members.empty()) report_.files.push_back((folder_ / file.name).string());
      for (const WantedMember& member : file.members) {
        report_.files.push_back((folder_ / member.target).string());
      }
    }
    return report_;
  }

 private:
  // The file itself with the right checksum, or all files of its archive with the right sizes.
  bool is_there(const FetchFile& file) const {
    const fs::path path = folder_ / file.name;
    if (file.members.empty()) {
      return fs::exists(path) && check_file(path.string(), file.checksum).empty();
    }
    return std::all_of(file.members.begin(), file.members.end(), [&](const WantedMember& member) {
      return size_of(folder_ / member.target) == static_cast<int64_t>(member.size);
    });
  }

  // Downloads the file from the first source that delivers it intact.
  void get(const FetchFile& file) {
    std::string problems;
    for (const std::string& source : sources_) {
      const std::string url = source + (source.ends_with('/') ? "" : "/") + file.name;
      const std::string problem = get_from(url, file);
      if (problem.empty()) return;
      problems += fmt::format("\n  {}: {}", url, problem);
    }
    throw Error(ErrorKind::data,
                fmt::format("cannot fetch {} of '{}':{}", file.name, plan_.name, problems),
                fmt::format("check the network and run the command again (it resumes), or put {} "
                            "into {} by hand and run it again",
                            file.name, folder_.string()));
  }

  // Empty when the file is there, else the reason. A source that breaks off is asked again for the
  // rest as long as it delivers something.
  std::string get_from(const std::string& url, const FetchFile& file) {
    const fs::path path = folder_ / file.name;
    const fs::path part = path.string() + ".part";
    constexpr int kAttempts = 5;
    std::string problem;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const int64_t before = size_of(part);
      const TransferOutcome outcome = transfer(url, file, part);
      report_.downloaded_bytes += outcome.received_bytes;
      problem = outcome.problem;
      switch (outcome.status) {
        case TransferStatus::done:
          problem = check_file(part.string(), file.checksum);
          if (problem.empty()) {
            rename_to(part, path);
            return {};
          }
          fs::remove(part);
          if (before == 0) return problem;
          break;  // what an earlier attempt left may have been wrong: once more from the start
        case TransferStatus::resume_refused: fs::remove(part); break;
        case TransferStatus::broken:
          if (outcome.received_bytes == 0) return problem;
          break;
        case TransferStatus::stopped:
          throw Error(ErrorKind::runtime, fmt::format("fetching {} was stopped", file.name),
                      "run the command again: it resumes");
      }
    }
    return problem;
  }

  TransferOutcome transfer(const std::string& url, const FetchFile& file, const fs::path& part) {
    Transfer transfer{url, part.string(), file.largest, nullptr};
    if (options_.progress) {
      transfer.progress = [&](int64_t bytes, int64_t total) {
        return options_.progress({file.name, url, bytes, total});
      };
    }
    return download(transfer);
  }

  // All members appear under their names only once all are unpacked.
  void unpack(const FetchFile& archive) {
    std::vector<WantedMember> wanted = archive.members;
    for (WantedMember& member : wanted) {
      member.target = (folder_ / (member.target + ".part")).string();
    }
    unpack_tar_gz((folder_ / archive.name).string(), wanted);
    for (size_t i = 0; i < wanted.size(); ++i) {
      rename_to(wanted[i].target, folder_ / archive.members[i].target);
    }
    fs::remove(folder_ / archive.name);
  }

  const FetchPlan& plan_;
  const FetchOptions& options_;
  std::vector<std::string> sources_;
  fs::path folder_;
  FetchReport report_;
};

}  // namespace

FetchReport fetch(const FetchPlan& plan, const FetchOptions& options) {
  return Fetcher(plan, options).run();
}

FetchReport fetch_dataset(const std::string& name, const FetchOptions& options) {
  return fetch(fetch_plan(name), options);
}

}  // namespace lockstep
