// Whether the workers of a process can go on together: what failed first, for all of them to see.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>

#include "comm/wait.h"
#include "lockstep/error.h"

namespace lockstep {

// Any thread.
class GroupHealth {
 public:
  // `stopped`: the workers end for a reason of their own; may be empty.
  explicit GroupHealth(std::function<bool()> stopped) : stopped_(std::move(stopped)) {}

  // The first failure stays.
  void fail(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    failed_.store(true, std::memory_order_release);
  }
  // Nothing can go on, and it is not communication that failed.
  void stop() { failed_.store(true, std::memory_order_release); }

  bool failed() const { return failed_.load(std::memory_order_acquire); }
  bool stopped() const { return stopped_ && stopped_(); }

  // Throws the failure, PeerAborted where there is none but the workers stop.
  void check() const {
    if (!failed() && !stopped()) return;
    const std::lock_guard lock(mutex_);
    if (error_) throw *error_;
    throw PeerAborted();
  }

 private:
  std::function<bool()> stopped_;
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace lockstep
