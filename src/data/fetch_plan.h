// What `lockstep data fetch` has to bring for each named set, and from where.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/checksum.h"
#include "data/untar.h"
#include "lockstep/fetch.h"

namespace lockstep {

// One file to download. With members it is an archive, which is unpacked and removed.
struct FetchFile {
  std::string name;
  Checksum checksum;
  int64_t largest = 0;                // bytes that a download may have at most
  std::vector<WantedMember> members;  // targets are names in the folder
};

struct FetchPlan {
  std::string name;
  std::vector<std::string> sources;  // base URLs
  std::vector<FetchFile> files;
};

// Error{usage} for an unknown name.
FetchPlan fetch_plan(const std::string& name);

// fetch_dataset with a plan of the caller's.
FetchReport fetch(const FetchPlan& plan, const FetchOptions& options);

}  // namespace lockstep
