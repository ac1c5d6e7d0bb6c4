// How workers that share memory wait for each other: spin briefly, then yield, then sleep, looking
// at an abort flag and a deadline all the while, so that nothing hangs.
#pragma once

#include <hwy/cache_control.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

namespace lockstep {

// Thrown in the workers that a failed peer leaves behind. The peer's own error is what the user
// sees.
struct PeerAborted : std::runtime_error {
  PeerAborted() : std::runtime_error("another worker stopped this run") {}
};

struct WaitPolicy {
  const std::atomic<bool>* aborted = nullptr;  // null: never
  std::chrono::duration<double> timeout{60.0};
  // Spins before the first yield; 0 where workers outnumber processors, since a spinning worker
  // would then keep the one it waits for from running.
  int spins = 4000;
  // Asked now and then by a worker that waits: why it should wait no longer, if it should not. May
  // be empty.
  std::function<std::optional<std::string>()> reason_to_give_up;

  bool is_aborted() const { return aborted && aborted->load(std::memory_order_relaxed); }
};

// Returns once done() is true. Throws PeerAborted when the run is aborted; calls
// give_up(waited seconds, reason), which must throw, at the deadline (the reason is then empty) or
// where the policy has a reason. Returns whether it had to wait at all.
template <class Done, class GiveUp>
bool wait_until(const WaitPolicy& policy, Done&& done, GiveUp&& give_up) {
  using SteadyClock = std::chrono::steady_clock;
  constexpr int kYields = 200;      // rounds before it sleeps
  constexpr int kAskEvery = 1'000;  // rounds of sleep between questions, 0.1 s or so
  if (done()) return false;
  for (int i = 0; i < policy.spins; ++i) {
    hwy::Pause();
    if (done()) return true;
    if (policy.is_aborted()) throw PeerAborted();
  }
  const SteadyClock::time_point start = SteadyClock::now();
  for (int round = 0;; ++round) {
    if (round < kYields) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    if (done()) return true;
    if (policy.is_aborted()) throw PeerAborted();
    const std::chrono::duration<double> waited = SteadyClock::now() - start;
    if (waited >= policy.timeout) give_up(waited.count(), std::string());
    if (round % kAskEvery != kAskEvery - 1 || !policy.reason_to_give_up) continue;
    if (const auto reason = policy.reason_to_give_up()) {
      give_up(waited.count(), *reason);
    }
  }
}

}  // namespace lockstep
