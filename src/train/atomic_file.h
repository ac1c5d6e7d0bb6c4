// A file that appears complete or not at all: written under a temporary name in the same folder,
// synced, then renamed over the old one.
#pragma once

#include <cstddef>
#include <string>

namespace lockstep {

// Writes all of `data` to `descriptor`, taking up short and interrupted writes. Throws
// Error{runtime} that names `path` and the system's reason (a full disk among them).
void write_all(int descriptor, const void* data, size_t bytes, const std::string& path);

class AtomicFile {
 public:
  // Opens the temporary file. Throws Error{runtime} where the folder cannot be written to, or where
  // `path` exists and is no regular file.
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  // without commit() the temporary file is removed, the old one is as it was

  void write(const void* data, size_t bytes) { write_all(descriptor_, data, bytes, path_); }

  // fsync, rename, fsync of the folder. Call once, last.
  void commit();

 private:
  std::string path_;
  std::string folder_;
  std::string temporary_path_;
  int descriptor_ = -1;
};

}  // namespace lockstep
