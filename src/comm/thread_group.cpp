#include "comm/thread_group.h"

#include <fmt/format.h>

#include "lockstep/error.h"

namespace lockstep {

namespace {

// In front of the counters, where workers are in several processes.
struct alignas(128) Head {
  std::atomic<bool> aborted{false};
};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free,
              "processes share them");

}  // namespace

ThreadGroup::ThreadGroup(int size, double timeout, int processors)
    : own_workers_(size), workers_(own_workers_), at_(size) {
  policy_.aborted = aborted_;
  policy_.timeout = std::chrono::duration<double>(timeout);
  if (size > processors) policy_.spins = 0;
}

// Zeroed memory is what a new Head and new Workers hold: nobody constructs them, and so nobody has
// to be first.
ThreadGroup::ThreadGroup(int size, double timeout, int processors, Shared shared)
    : shared_(std::move(shared)), at_(size) {
  auto* head = reinterpret_cast<Head*>(shared_.counters.data());
  aborted_ = &head->aborted;
  workers_ = {reinterpret_cast<Worker*>(head + 1), static_cast<size_t>(size)};
  policy_.aborted = aborted_;
  policy_.timeout = std::chrono::duration<double>(timeout);
  if (size > processors) policy_.spins = 0;
  policy_.reason_to_give_up = shared_.reason_to_give_up;
}

size_t ThreadGroup::bytes_of(int size) {
  return sizeof(Head) + static_cast<size_t>(size) * sizeof(Worker);
}

std::string ThreadGroup::name(int rank) const {
  return shared_.name ? shared_.name(rank) : fmt::format("worker {}", rank);
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
      [&](double waited, const std::string& reason) {
        give_up(rank, place, behind(counter, value), waited, reason);
      });
}

void ThreadGroup::give_up(int rank, const char* place, const std::string& missing, double waited,
                          const std::string& reason) const {
  std::string at;
  if (at_[rank].step >= 0) at += fmt::format(" in step {}", at_[rank].step + 1);
  if (at_[rank].bucket >= 0) at += fmt::format(", bucket {},", at_[rank].bucket + 1);
  throw Error(ErrorKind::communication,
              fmt::format("{} waited {:.1f} s{} {} for {}{}", name(rank), waited, at, place,
                          missing, reason.empty() ? "" : ": " + reason),
              reason.empty()
                  ? "a worker that is slow rather than stuck needs a longer --comm-timeout"
                  : "");
}

std::string ThreadGroup::behind(std::atomic<uint64_t> Progress::*counter, uint64_t value) const {
  std::string names;
  for (int rank = 0; rank < size(); ++rank) {
    if ((workers_[rank].progress.*counter).load(std::memory_order_acquire) >= value) continue;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name(rank));
  }
  return names;
}

void ThreadGroup::leave(int rank) noexcept {
  mark_left(rank);
  if (!shared_.bases.empty()) return;
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
