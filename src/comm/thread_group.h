// What the workers of one process share to talk to each other: counters that only grow, one cache
// line a worker, written by their owner and read by the rest. No locks.
//
// A worker's collectives are numbered 0, 1, 2, ... and every worker issues the same ones in the
// same order, so one counter a kind says how far each has come.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/wait.h"

namespace lockstep {

class ThreadGroup {
 public:
  // Collectives that a worker may have under way at once; a power of two.
  static constexpr uint64_t kWindow = 256;

  // `timeout` in seconds; `processors` are those that this process may use.
  ThreadGroup(int size, double timeout, int processors);

  int size() const { return static_cast<int>(workers_.size()); }
  const WaitPolicy& policy() const { return policy_; }

  // Every later or pending wait throws PeerAborted. Any thread.
  void abort() noexcept { policy_.aborted.store(true, std::memory_order_relaxed); }
  bool aborted() const { return policy_.aborted.load(std::memory_order_relaxed); }

  struct alignas(128) Progress {
    std::atomic<uint64_t> posted{0};    // collectives whose data is in place
    std::atomic<uint64_t> stage{0};     // stages finished, of the algorithm in use
    std::atomic<uint64_t> done{0};      // collectives finished: reads nobody's buffer for them
    std::atomic<uint64_t> released{0};  // steps whose weights this worker reads no more
    std::atomic<uint64_t> arrived{0};   // barriers
    std::atomic<uint64_t> left{0};      // 1 once this worker touches nobody's memory any more
  };
  struct Worker {
    Progress progress;
    float* data[kWindow] = {};  // the buffer of collective n at n % kWindow
  };

  Progress& progress(int rank) { return workers_[rank].progress; }
  float*& data(int rank, uint64_t collective) { return workers_[rank].data[collective % kWindow]; }

  // Whether `counter` of every worker is at least `value`.
  bool all_at_least(std::atomic<uint64_t> Progress::*counter, uint64_t value) const;
  // Waits for it. Throws Error{communication} at the deadline: `rank` waited at `place` for whom.
  bool wait_all(int rank, std::atomic<uint64_t> Progress::*counter, uint64_t value,
                const char* place);
  // As wait_all, for any condition. `missing` names the workers that did not come.
  [[noreturn]] void timed_out(int rank, const char* place, const std::string& missing) const;

  // The last thing a worker does before its memory goes, whatever way it ends: returns when no
  // other worker can be reading it. Waits through an abort, since that is when it counts.
  void leave(int rank) noexcept;
  // As leave(), without waiting: for a worker that never shared any memory.
  void mark_left(int rank) noexcept { progress(rank).left.store(1, std::memory_order_release); }

  // All workers call it. Returns whether this one had to wait.
  bool barrier(int rank);

 private:
  std::string behind(std::atomic<uint64_t> Progress::*counter, uint64_t value) const;

  WaitPolicy policy_;
  std::vector<Worker> workers_;
};

}  // namespace lockstep
