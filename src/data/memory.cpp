#include "data/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "data/failure.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The number in a file that holds nothing else; `fallback` where there is none ("max", no file).
uint64_t number_in(const char* path, uint64_t fallback) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? value : fallback;
}

uint64_t group_limit() {
  return std::min(number_in("/sys/fs/cgroup/memory.max", kUnlimited),
                  number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", kUnlimited));
}

uint64_t group_usage() {
  return std::max(number_in("/sys/fs/cgroup/memory.current", 0),
                  number_in("/sys/fs/cgroup/memory/memory.usage_in_bytes", 0));
}

uint64_t kernel_estimate() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  uint64_t kilobytes = 0;
  while (file >> key >> kilobytes && std::getline(file, unit)) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return kUnlimited;
}

}  // namespace

uint64_t physical_memory() {
  const uint64_t machine =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min(machine, group_limit());
}

uint64_t available_memory() {
  const uint64_t limit = group_limit();
  // The group's usage counts page cache, which the kernel gives back: the estimate is a lower bound
  // only where the limit is far below the machine's memory, so half of the limit is always granted.
  const uint64_t group = limit == kUnlimited
                             ? kUnlimited
                             : std::max(limit - std::min(limit, group_usage()), limit / 2);
  return std::min({physical_memory(), kernel_estimate(), group});
}

void require_memory(const std::string& what, double bytes) {
  const auto available = static_cast<double>(available_memory());
  if (bytes <= available) return;
  throw Error(ErrorKind::data,
              what + " needs " + readable_bytes(bytes) + " of memory, " +
                  readable_bytes(available) + " are available",
              "use a machine with more memory, a part of the file, or a format that is mapped "
              "instead of read (IDX or NPY, uncompressed)");
}

uint64_t checked_size(const std::string& what, int64_t rows, int64_t columns, size_t element_size) {
  const double bytes =
      static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(element_size);
  require_memory(what, bytes);
  return static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns) * element_size;
}

}  // namespace lockstep
