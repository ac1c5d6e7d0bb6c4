// Digests of data sets that are mapped, remembered between runs: hashing one means reading it all.
#pragma once

#include <optional>
#include <string>

#include "lockstep/dataset.h"

namespace lockstep {

// What identifies the data without reading mapped files: their path, size and time of change, and
// the contents of all that is in memory. Changes when any of it changes.
class DigestKey {
 public:
  void add_mapped(const std::string& path, const FeatureMatrix& features);
  void add_text(const std::string& text);
  void add_bytes(const void* data, size_t bytes);
  std::string hex() const;

 private:
  std::string parts_;  // digests and descriptions, joined
};

// In $LOCKSTEP_DATA/digests (default ~/.cache/lockstep/digests). A cache that cannot be read or
// written costs time, never the run.
std::optional<std::string> cached_digest(const DigestKey& key);
void remember_digest(const DigestKey& key, const std::string& digest);

}  // namespace lockstep
