#include "comm/nccl_watchdog.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "comm/nccl_communicator.h"

namespace lockstep {

namespace {

constexpr std::chrono::milliseconds kLookEvery{5};
// An abort that takes longer will not return.
constexpr std::chrono::seconds kAbortDeadline{10};

}  // namespace

NcclWatchdog::NcclWatchdog(GroupHealth& health, double timeout,
                           std::function<void(const std::string&)> give_up)
    : health_(health),
      timeout_(timeout),
      give_up_(std::move(give_up)),
      thread_([this] { run(); }) {}

NcclWatchdog::~NcclWatchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void NcclWatchdog::add(NcclCommunicator& communicator) {
  const std::lock_guard lock(mutex_);
  watched_[&communicator].since = Clock::now();
}

void NcclWatchdog::end(NcclCommunicator& communicator) {
  std::unique_lock lock(mutex_);
  watched_.at(&communicator).ending = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return watched_.at(&communicator).aborted; });
  watched_.erase(&communicator);
}

void NcclWatchdog::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    look();
    const bool all = health_.failed() || health_.stopped();
    std::vector<NcclCommunicator*> to_abort;
    for (const auto& [communicator, watched] : watched_) {
      if ((all || watched.ending) && !watched.aborted) to_abort.push_back(communicator);
    }
    if (to_abort.empty()) {
      changed_.wait_for(lock, kLookEvery);
      continue;
    }
    lock.unlock();  // those waited for stay: their owners are in end(), or will be
    abort(to_abort);
    lock.lock();
    for (NcclCommunicator* communicator : to_abort) watched_.at(communicator).aborted = true;
    changed_.notify_all();
  }
}

void NcclWatchdog::look() {
  if (health_.failed()) return;
  const Clock::time_point now = Clock::now();
  for (auto& [communicator, watched] : watched_) {
    if (const std::optional<Error> error = communicator->async_error()) {
      health_.fail(*error);
      return;
    }
    look_at_progress(*communicator, watched, now);
  }
}

void NcclWatchdog::look_at_progress(NcclCommunicator& communicator, Watched& watched,
                                    Clock::time_point now) {
  const NcclCommunicator::Progress at = communicator.progress();
  const bool moved = at.done != watched.done || at.buckets_done != watched.buckets;
  watched.done = at.done;
  watched.buckets = at.buckets_done;
  if (!at.waiting || moved) watched.since = now;
  if (now - watched.since < timeout_) return;
  const std::chrono::duration<double> waited = now - watched.since;
  const std::string place =
      at.buckets == 0 ? "communication"
                      : fmt::format("step {}, bucket {} of {}", at.done + 1,
                                    std::min(at.buckets_done + 1, at.buckets), at.buckets);
  health_.fail({ErrorKind::communication,
                fmt::format("{}: rank {} has waited {:.1f} s for {}", place, communicator.rank(),
                            waited.count(), behind(at.queued)),
                "a worker that is slow rather than stuck needs a longer --comm-timeout"});
}

// The ranks of this process that have queued fewer steps than the one that waits.
std::string NcclWatchdog::behind(unsigned queued) const {
  std::string names;
  for (const auto& [communicator, watched] : watched_) {
    const unsigned theirs = communicator->progress().queued;
    if (static_cast<int>(queued - theirs) <= 0) continue;
    names += fmt::format("{}rank {} (at step {})", names.empty() ? "" : ", ", communicator->rank(),
                         theirs + 1);
  }
  return names.empty() ? "a peer: no rank of this process is behind" : names;
}

// On a thread of its own, so that this one sees whether it comes to an end.
void NcclWatchdog::abort(const std::vector<NcclCommunicator*>& communicators) {
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  std::thread aborter([&] {
    for (NcclCommunicator* communicator : communicators) communicator->abort();
    const std::lock_guard lock(mutex);
    done = true;
    ended.notify_all();
  });
  {
    std::unique_lock lock(mutex);
    if (!ended.wait_for(lock, kAbortDeadline, [&] { return done; })) {
      give_up_(fmt::format("NCCL could not be ended within {} s", kAbortDeadline.count()));
    }
  }
  aborter.join();
}

}  // namespace lockstep
