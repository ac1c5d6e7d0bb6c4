#include "lockstep/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kHugeThreshold = 2 * kHugePage;

[[noreturn]] void fail(size_t bytes) {
  throw Error(ErrorKind::runtime, "cannot allocate " + std::to_string(bytes) + " bytes of memory",
              "use fewer samples, a smaller model or batch, or a machine with more memory");
}

// Anonymous pages are zero already, and are touched first by whoever uses them.
void* map_huge(size_t bytes) {
  const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  const size_t reserved = rounded + kHugePage;
  void* start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) fail(bytes);
  auto* base = static_cast<std::byte*>(start);
  const size_t misaligned = reinterpret_cast<uintptr_t>(base) % kHugePage;
  const size_t head = misaligned ? kHugePage - misaligned : 0;
  std::byte* aligned = base + head;
  if (head) munmap(base, head);
  munmap(aligned + rounded, kHugePage - head);
  madvise(aligned, rounded, MADV_HUGEPAGE);  // advice: where it is refused, small pages do
  return aligned;
}

}  // namespace

void* allocate_aligned(size_t bytes) {
  if (bytes > std::numeric_limits<size_t>::max() / 2) fail(bytes);
  if (bytes >= kHugeThreshold) return map_huge(bytes);
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* pointer = std::aligned_alloc(kAlignment, rounded ? rounded : kAlignment);
  if (!pointer) fail(bytes);
  std::memset(pointer, 0, rounded);
  return pointer;
}

void deallocate_aligned(void* pointer, size_t bytes) noexcept {
  if (bytes >= kHugeThreshold) {
    munmap(pointer, (bytes + kHugePage - 1) / kHugePage * kHugePage);
  } else {
    std::free(pointer);
  }
}

}  // namespace lockstep
