// What workers that share memory use to talk to each other: counters that only grow, one cache line
// a worker, written by their owner and read by the rest. No locks. They are threads of one process,
// or of several on one machine, whose counters then lie in memory that all of them see.
//
// A worker's collectives are numbered 0, 1, 2, ... and every worker issues the same ones in the
// same order, so one counter a kind says how far each has come.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/wait.h"

namespace lockstep {

class ThreadGroup {
 public:
  // Collectives that a worker may have under way at once; a power of two.
  static constexpr uint64_t kWindow = 256;

  // `timeout` in seconds; `processors` are those that the workers may use.
  ThreadGroup(int size, double timeout, int processors);

  // Where workers are in several processes.
  struct Shared {
    std::span<std::byte> counters;              // bytes_of(size), the same memory for all, zeroed
    std::vector<std::span<std::byte>> bases;    // one a worker: where this process sees the segment
                                                // that its buffers are in
    std::function<std::string(int rank)> name;  // of a worker, for messages
    std::function<std::optional<std::string>()> reason_to_give_up;
  };
  ThreadGroup(int size, double timeout, int processors, Shared shared);
  static size_t bytes_of(int size);

  int size() const { return static_cast<int>(workers_.size()); }
  const WaitPolicy& policy() const { return policy_; }

  // Every later or pending wait throws PeerAborted. Any thread.
  void abort() noexcept {
    if (!aborted_->exchange(true)) aborted_here_.store(true);
  }
  // Whether it was a worker of this process that aborted first.
  bool aborted_here() const { return aborted_here_.load(); }
  bool aborted() const { return aborted_->load(std::memory_order_relaxed); }

  // What worker `rank` is at, for the message of a wait that it gives up. Its own calls alone.
  void begin_step(int rank, int64_t step) { at_[rank] = {step, -1}; }
  void begin_bucket(int rank, int64_t bucket) { at_[rank].bucket = bucket; }
  int64_t step(int rank) const { return at_[rank].step; }

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
    // The buffer of collective n at n % kWindow, as its distance from the owner's base.
    std::uintptr_t data[kWindow] = {};
  };

  Progress& progress(int rank) { return workers_[rank].progress; }
  const Progress& progress(int rank) const { return workers_[rank].progress; }
  void post_data(int rank, uint64_t collective, const float* data) {
    workers_[rank].data[collective % kWindow] = reinterpret_cast<std::uintptr_t>(data) - base(rank);
  }
  float* data(int rank, uint64_t collective) const {
    return reinterpret_cast<float*>(base(rank) + workers_[rank].data[collective % kWindow]);
  }

  // Whether `counter` of every worker is at least `value`.
  bool all_at_least(std::atomic<uint64_t> Progress::*counter, uint64_t value) const;
  // Waits for it. Throws Error{communication} at the deadline: `rank` waited at `place` for whom.
  bool wait_all(int rank, std::atomic<uint64_t> Progress::*counter, uint64_t value,
                const char* place);
  // Throws Error{communication}: `rank` waited at `place` for the workers named in `missing`.
  [[noreturn]] void give_up(int rank, const char* place, const std::string& missing, double waited,
                            const std::string& reason) const;
  // The workers whose `counter` is below `value`.
  std::string behind(std::atomic<uint64_t> Progress::*counter, uint64_t value) const;

  // The last thing a worker does before its memory goes, whatever way it ends: returns when no
  // other worker can be reading it. Waits through an abort, since that is when it counts. In memory
  // of several processes, which outlives its worker, it waits for nobody.
  void leave(int rank) noexcept;
  // As leave(), without waiting: for a worker that never shared any memory.
  void mark_left(int rank) noexcept { progress(rank).left.store(1, std::memory_order_release); }

  // All workers call it. Returns whether this one had to wait.
  bool barrier(int rank);

 private:
  struct alignas(128) At {
    int64_t step = -1;
    int64_t bucket = -1;  // of the step: gradients that are reduced together
  };

  std::uintptr_t base(int rank) const {
    return shared_.bases.empty() ? 0 : reinterpret_cast<std::uintptr_t>(shared_.bases[rank].data());
  }
  std::string name(int rank) const;

  WaitPolicy policy_;
  Shared shared_;
  std::atomic<bool> own_aborted_{false}, aborted_here_{false};
  std::vector<Worker> own_workers_;
  std::atomic<bool>* aborted_ = &own_aborted_;
  std::span<Worker> workers_;
  std::vector<At> at_;
};

}  // namespace lockstep
