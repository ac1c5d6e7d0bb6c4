// Dynamic shared memory, distributed shared memory, cp.async and mbarrier.
#include <algorithm>

#include "group.h"
#include "sanitizer.h"

namespace lockstep::emulator {

void* shared_memory(std::size_t offset, std::size_t bytes, std::size_t alignment, Site site) {
  Thread& thread = running_thread(site);
  const Block& block = *thread.block;
  if (offset % alignment != 0 || offset + bytes > block.shared_bytes) {
    const Quiet quiet;
    thread.group().fail(thread,
                        "asks for " + std::to_string(bytes) + " bytes of shared memory at offset " +
                            std::to_string(offset) + " (alignment " + std::to_string(alignment) +
                            ") of " + std::to_string(block.shared_bytes) + " bytes",
                        site);
  }
  return static_cast<char*>(block.shared) + offset;
}

void* map_shared(const void* shared, unsigned rank, Site site) {
  Thread& thread = running_thread(site);
  const auto* own = static_cast<const char*>(thread.block->shared);
  const auto offset = static_cast<const char*>(shared) - own;
  if (rank >= thread.group().size() || offset < 0 ||
      offset >= static_cast<std::ptrdiff_t>(thread.block->shared_bytes)) {
    const Quiet quiet;
    thread.group().fail(thread,
                        "maps what is not its shared memory, or to a block that is not of "
                        "its cluster",
                        site);
  }
  return static_cast<char*>(thread.group().block(rank).shared) + offset;
}

unsigned cluster_rank() {
  return running_thread().block->rank;
}

unsigned cluster_size() {
  return running_thread().group().size();
}

void async_copy_issue(const AsyncCopy& copy) {
  Thread& thread = running_thread();
  const Quiet quiet;
  thread.copies.push_back(copy);
  thread.copies.back().early = thread.group().random().below(2) == 0;
  ++thread.copies_open;
  thread.group().count_steps(1);
}

void async_copy_commit() {
  Thread& thread = running_thread();
  const Quiet quiet;
  thread.copy_groups.push_back(thread.copies_open);
  thread.copies_open = 0;
}

bool async_copy_due(unsigned keep_groups, AsyncCopy* copy) {
  Thread& thread = running_thread();
  const Quiet quiet;
  auto& groups = thread.copy_groups;
  while (groups.size() > keep_groups && groups.front() == 0) groups.erase(groups.begin());
  if (groups.size() <= keep_groups) return false;
  --groups.front();
  *copy = thread.copies.front();
  thread.copies.erase(thread.copies.begin());
  return true;
}

namespace {

// The word of an mbarrier: phase, arrivals that it expects, arrivals that are still to come.
struct MbarrierWord {
  unsigned phase;
  unsigned expected : 16;
  unsigned pending : 16;
};
constexpr unsigned kUninitializedWord = 0xffffffffU;
static_assert(sizeof(MbarrierWord) == sizeof(std::uint64_t));

// Two tokens by turns, in the word itself: each address in it is one.
const void* token(const std::uint64_t* barrier, unsigned phase) {
  return reinterpret_cast<const char*>(barrier) + (phase & 1U) * 4;
}

MbarrierWord& word(std::uint64_t* barrier) {
  return *reinterpret_cast<MbarrierWord*>(barrier);
}

}  // namespace

void mbarrier_init(std::uint64_t* barrier, unsigned arrivals) {
  word(barrier) = {.phase = 0, .expected = arrivals & 0xffffU, .pending = arrivals & 0xffffU};
}

void mbarrier_arrive(std::uint64_t* barrier, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  MbarrierWord& state = word(barrier);
  if (state.phase == kUninitializedWord) {
    thread.group().fail(thread, "arrives at an mbarrier that was not initialised", site);
  }
  order_release(token(barrier, state.phase));
  if (--state.pending > 0) return;
  ++state.phase;
  state.pending = state.expected;
  thread.group().wake_all_at(barrier);
}

bool mbarrier_try_wait(std::uint64_t* barrier, unsigned parity, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  const auto passed = [&] { return (word(barrier).phase & 1U) != parity; };
  if (!passed()) {
    thread.group().suspend(thread, {.what = "an mbarrier", .site = site, .object = barrier},
                           Thread::State::polling);
  }
  if (!passed()) return false;
  order_acquire(token(barrier, parity));
  return true;
}

}  // namespace lockstep::emulator
