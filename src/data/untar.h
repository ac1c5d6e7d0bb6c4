// Unpacking the few files that are wanted from a .tar.gz archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

struct WantedMember {
  std::string name;    // without folders
  uint64_t size = 0;   // bytes, exactly
  std::string target;  // path of the file to write
};

// Writes each wanted member to its target. Names in the archive are compared without their folders
// and nothing else is written, so an archive cannot put files elsewhere. Error{data}: the archive
// is damaged, a member is missing or has another size; targets may be left half written.
void unpack_tar_gz(const std::string& archive, const std::vector<WantedMember>& wanted);

}  // namespace lockstep
