#include "comm/nccl_watchdog.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "comm/nccl_communicator.h"

namespace lockstep {

namespace {

constexpr std::chrono::milliseconds kLookEvery{5};
constexpr std::chrono::milliseconds kAskEvery{100};
// An abort that takes longer will not return.
constexpr std::chrono::seconds kAbortDeadline{10};

}  // namespace

NcclWatchdog::NcclWatchdog(GroupHealth& health, const DeviceGroupOptions& options)
    : health_(health), options_(options), thread_([this] { run(); }) {}

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
      health_.fail(with_reason(*error));
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
  if (!at.waiting || moved) watched.since = watched.asked = now;
  const std::chrono::duration<double> waited = now - watched.since;
  std::optional<std::string> reason;
  if (options_.reason_to_give_up && now - watched.asked >= kAskEvery) {
    watched.asked = now;
    reason = options_.reason_to_give_up();
  }
  if (!reason && waited.count() < options_.timeout) return;
  const std::string place =
      at.buckets == 0 ? "communication"
                      : fmt::format("step {}, bucket {} of {}", at.done + 1,
                                    std::min(at.buckets_done + 1, at.buckets), at.buckets);
  health_.fail({ErrorKind::communication,
                fmt::format("{}: rank {} has waited {:.1f} s{}", place, communicator.rank(),
                            waited.count(), reason ? ": " + *reason : " for " + behind(at.queued)),
                "a worker that is slow rather than stuck needs a longer --comm-timeout"});
}

// NCCL says that a peer has gone, and not which.
Error NcclWatchdog::with_reason(const Error& error) const {
  const auto reason = options_.reason_to_give_up ? options_.reason_to_give_up() : std::nullopt;
  if (!reason) return error;
  return {error.kind(), fmt::format("{}; {}", error.what(), *reason), error.remedy()};
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
  if (!names.empty()) return names;
  if (options_.members == options_.world_size) return "a peer: no rank of this process is behind";
  return options_.silent_ranks ? options_.silent_ranks() : "a rank of another process";
}

void NcclWatchdog::give_up(const std::string& message) const {
  if (options_.give_up) return options_.give_up(message);
  fmt::print(stderr, "error: {}; leaving at once\n", message);
  std::fflush(stderr);
  std::_Exit(exit_code(ErrorKind::communication));
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
      give_up(fmt::format("NCCL could not be ended within {} s", kAbortDeadline.count()));
    }
  }
  aborter.join();
}

}  // namespace lockstep
