// A file's bytes, mapped: what the text readers parse and what plain binary data is used from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lockstep {

// Read-only until make_writable(); then writes stay private to the process. Safe to share between
// threads. The descriptor is closed at once: the mapping keeps the file.
class MappedFile {
 public:
  // Throws Error{data} that names the file and the system's reason; an empty file is an error too,
  // no format allows one. Pipes and devices cannot be mapped and are refused.
  static std::shared_ptr<MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Takes the pages before `offset` out of this process's memory (they stay in the page cache):
  // a reader that works its way through calls it now and then, and its peak memory stays small.
  void release_before(size_t offset) const;

  // Allows writes to the mapped pages; each page written becomes memory of this process. Returns
  // the first byte.
  std::byte* make_writable();

 private:
  MappedFile(std::string path, std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  std::byte* data_;
  size_t size_;
};

// Gives back the pages that a reader has passed, a step at a time.
class PassedPages {
 public:
  static constexpr size_t kStep = size_t{1} << 24;

  explicit PassedPages(const MappedFile& file) : file_(&file) {}

  // Nothing before `offset` will be looked at in this pass.
  void passed(size_t offset) {
    if (offset - released_ < kStep) return;
    file_->release_before(offset);
    released_ = offset;
  }
  void rewind() { released_ = 0; }

 private:
  const MappedFile* file_;
  size_t released_ = 0;
};

}  // namespace lockstep
