// Downloading the named data sets to where `--data NAME` looks for them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lockstep {

struct FetchProgress {
  std::string file;    // its name in the folder
  std::string source;  // URL
  int64_t bytes = 0;   // so far, those of an earlier attempt included
  int64_t total = 0;   // 0: the server does not say
};

struct FetchOptions {
  std::string folder;  // empty: data_folders(name).front()
  // Base URLs, tried in turn; a file's URL is BASE/FILE. Empty: $LOCKSTEP_DATA_URL (separated by
  // commas), else the built-in sources.
  std::vector<std::string> sources;
  // Called some times a second; false stops: what was downloaded stays for the next attempt.
  std::function<bool(const FetchProgress&)> progress;
};

struct FetchReport {
  std::string folder;
  std::vector<std::string> files;  // paths of the set's files
  int64_t downloaded_bytes = 0;    // 0: all was there already
};

// Fetches `mnist` or `cifar10`. Files that are there and intact are kept; a download that broke off
// is resumed (NAME.part); a file gets its name only after its checksum was right. Not thread-safe:
// one fetch at a time. Error{usage}: unknown name. Error{data}: no source could deliver; the
// message gives each source's reason, the remedy the folder where the files can be put by hand.
// Error{runtime}: the folder cannot be written, or `progress` stopped it.
FetchReport fetch_dataset(const std::string& name, const FetchOptions& options = {});

}  // namespace lockstep
