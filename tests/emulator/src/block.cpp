#include "block.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "group.h"

namespace lockstep::emulator {

namespace {

constexpr std::size_t kSharedAlignment = 1024;

unsigned volume(dim3 size) {
  return size.x * size.y * size.z;
}

// Just as large as was asked for, so that AddressSanitizer sees an access beyond it.
void* allocate_shared(std::size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kSharedAlignment, std::max<std::size_t>(bytes, 1)) != 0) std::abort();
  std::memset(memory, kUninitialized, bytes);
  return memory;
}

}  // namespace

Group& Thread::group() const {
  return block->group;
}

Warp& Thread::warp() const {
  return block->warps[linear / 32];
}

Block::Block(Group& group_, uint3 index_, unsigned rank_, dim3 size, std::size_t bytes)
    : group(group_),
      index(index_),
      rank(rank_),
      threads(volume(size)),
      barrier(volume(size)),
      shared(allocate_shared(bytes)),
      shared_bytes(bytes),
      running(volume(size)) {
  for (unsigned i = 0; i < threads.size(); ++i) {
    threads[i].block = this;
    threads[i].linear = i;
    threads[i].index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
  }
  for (unsigned first = 0; first < threads.size(); first += 32) {
    warps.emplace_back(&threads[first], std::min<unsigned>(32, threads.size() - first));
  }
}

Block::~Block() {
  std::free(shared);
}

}  // namespace lockstep::emulator
