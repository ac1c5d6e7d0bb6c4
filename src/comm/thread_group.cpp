#include "comm/thread_group.h"

#include <fmt/format.h>

#include "lockstep/error.h"

namespace lockstep {

ThreadGroup::ThreadGroup(int size, double timeout, int processors) : workers_(size) {
  policy_.timeout = std::chrono::duration<double>(timeout);
  if (size > processors) policy_.spins = 0;
}

bool ThreadGroup::all_at_least(std::atomic<uint64_t> Progress::*counter, uint64_t value) const {
  for (const Worker& worker : workers_) {
    if ((worker.progress.*counter).load(std::memory_order_acquire) < value) return false;
  }
  return true;
}

bool ThreadGroup::wait_all(int rank, std::atomic<uint64_t> Progress::*counter, uint64_t value,
                           const char* place) {
  return wait_until(
      policy_, [&] { return all_at_least(counter, value); },
      [&] { timed_out(rank, place, behind(counter, value)); });
}

void ThreadGroup::timed_out(int rank, const char* place, const std::string& missing) const {
  throw Error(ErrorKind::communication,
              fmt::format("worker {} waited {:.0f} s {} for {}", rank, policy_.timeout.count(),
                          place, missing),
              "a worker that is slow rather than stuck needs a longer --comm-timeout");
}

std::string ThreadGroup::behind(std::atomic<uint64_t> Progress::*counter, uint64_t value) const {
  std::string names;
  for (int rank = 0; rank < size(); ++rank) {
    if ((workers_[rank].progress.*counter).load(std::memory_order_acquire) >= value) continue;
    names += fmt::format("{}worker {}", names.empty() ? "" : ", ", rank);
  }
  return names;
}

void ThreadGroup::leave(int rank) noexcept {
  mark_left(rank);
  while (!all_at_least(&Progress::left, 1)) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

bool ThreadGroup::barrier(int rank) {
  std::atomic<uint64_t>& own = progress(rank).arrived;
  const uint64_t round = own.load(std::memory_order_relaxed) + 1;
  own.store(round, std::memory_order_release);
  return wait_all(rank, &Progress::arrived, round, "at a barrier");
}

}  // namespace lockstep
