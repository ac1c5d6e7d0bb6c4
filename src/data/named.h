// Where named sets (mnist, cifar10) lie.
#pragma once

#include <string>
#include <vector>

#include "data/spec.h"

namespace lockstep {

// The first of the candidate folders (the one the spec names, else data_folders(name)) that holds
// all of `files`, each plain or as NAME.gz. Error{data} that names `lockstep data fetch NAME` and
// every folder looked at, and what is missing where some files are there.
std::string find_named_set(const DataSpec& spec, const std::string& name,
                           const std::vector<std::string>& files);

// The path of `file` in `folder`, plain or with ".gz"; empty where neither exists.
std::string plain_or_gz(const std::string& folder, const std::string& file);

}  // namespace lockstep
