#include "data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "data/failure.h"

namespace lockstep {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_with_errno(const std::string& path, const char* action) {
  fail_at(path, "", std::string("cannot ") + action + ": " + std::generic_category().message(errno),
          "check the path and its permissions");
}

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  const Descriptor descriptor(path);
  if (descriptor.get() < 0) fail_with_errno(path, "open");
  struct stat status {};
  if (fstat(descriptor.get(), &status) != 0) fail_with_errno(path, "open");
  if (S_ISDIR(status.st_mode))
    fail_at(path, "", "is a folder, expected a file", "name a file in it");
  if (!S_ISREG(status.st_mode)) {
    fail_at(path, "", "is not a regular file", "save the data to a file first");
  }
  if (status.st_size == 0)
    fail_at(path, "", "the file is empty", "put the data there, or check the path");
  const auto size = static_cast<size_t>(status.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, descriptor.get(), 0);
  if (data == MAP_FAILED) fail_with_errno(path, "map");
  return std::shared_ptr<MappedFile>(new MappedFile(path, static_cast<std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  munmap(data_, size_);
}

void MappedFile::release_before(size_t offset) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t whole = offset / page * page;
  if (whole > 0) madvise(data_, whole, MADV_DONTNEED);  // advice: failing costs memory only
}

std::byte* MappedFile::make_writable() {
  if (mprotect(data_, size_, PROT_READ | PROT_WRITE) != 0)
    fail_with_errno(path_, "map for writing");
  return data_;
}

}  // namespace lockstep
