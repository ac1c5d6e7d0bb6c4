#include "train/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "lockstep/error.h"

namespace lockstep {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path, int error) {
  const char* remedy = "check that the folder exists and may be written to";
  if (error == ENOSPC || error == EDQUOT)
    remedy = "free space on that disk, or write to another one";
  if (error == EFBIG) remedy = "raise the limit on file sizes (ulimit -f), or write a smaller file";
  throw Error(ErrorKind::runtime,
              what + " '" + path + "': " + std::generic_category().message(error), remedy);
}

}  // namespace

void write_all(int descriptor, const void* data, size_t bytes, const std::string& path) {
  const char* position = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, position, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("cannot write", path, errno);
    }
    position += written;
    bytes -= static_cast<size_t>(written);
  }
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::runtime, "cannot write '" + path_ + "': it is not a regular file",
                "give the name of a file");
  }
  const std::filesystem::path target(path_);
  folder_ = target.has_parent_path() ? target.parent_path().string() : ".";
  // Exclusive creation: two writers never share a temporary file, and no link is followed.
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_path_ = folder_ + "/." + target.filename().string() + "." +
                      std::to_string(::getpid()) + "." + std::to_string(attempt) + ".tmp";
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && (errno != EEXIST || attempt == 1000)) fail("cannot write", path_, errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("cannot write", path_, errno);
  // Network file systems report a full disk as late as here.
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot write", path_, errno);
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0) fail("cannot write", path_, errno);
  temporary_path_.clear();

  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // a folder that may be written to but not read: nothing more can be done
  const int error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  // EINVAL: a file system without such a sync. The file itself is complete either way.
  if (error != 0 && error != EINVAL)
    fail("wrote the file but cannot sync its folder", folder_, error);
}

}  // namespace lockstep
