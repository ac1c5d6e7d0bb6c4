// How workers of one process wait for each other: spin briefly, then yield, then sleep, looking at
// an abort flag and a deadline all the while, so that nothing hangs.
#pragma once

#include <hwy/cache_control.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace lockstep {

// Thrown in the workers that a failed peer leaves behind. The peer's own error is what the user
// sees.
struct PeerAborted : std::runtime_error {
  PeerAborted() : std::runtime_error("another worker stopped this run") {}
};

// Shared by the workers of one run.
struct WaitPolicy {
  std::atomic<bool> aborted{false};
  std::chrono::duration<double> timeout{60.0};
  // Spins before the first yield; 0 where workers outnumber processors, since a spinning worker
  // would then keep the one it waits for from running.
  int spins = 4000;
};

// Returns once done() is true. Throws PeerAborted when the run is aborted, and calls on_timeout(),
// which must throw, at the deadline. Returns whether it had to wait at all.
template <class Done, class OnTimeout>
bool wait_until(const WaitPolicy& policy, Done&& done, OnTimeout&& on_timeout) {
  if (done()) return false;
  for (int i = 0; i < policy.spins; ++i) {
    hwy::Pause();
    if (done()) return true;
    if (policy.aborted.load(std::memory_order_relaxed)) throw PeerAborted();
  }
  const auto deadline = std::chrono::steady_clock::now() + policy.timeout;
  for (int round = 0;; ++round) {
    if (round < 200) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    if (done()) return true;
    if (policy.aborted.load(std::memory_order_relaxed)) throw PeerAborted();
    if (std::chrono::steady_clock::now() >= deadline) on_timeout();
  }
}

}  // namespace lockstep
