// The scheduler: blocks that run together (one, or those of a cluster, or a cooperative grid) on
// the calling OS thread, their threads as fibers. Which one goes on is random: in half of the
// groups each as likely as the other; in the others mostly of the warp that is first in a random
// order, so that some warps are as far ahead of others as barriers let them.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "block.h"
#include "random.h"

namespace lockstep::emulator {

class GridRun;

// The device thread that runs. A device function called elsewhere ends the program with a message.
Thread& running_thread(Site site = {});

class Group {
 public:
  Group(GridRun& grid, const std::vector<uint3>& blocks, std::uint64_t seed);

  // Returns when every thread has left the kernel. Throws KernelFailure.
  void run(FiberPool& fibers);

  // For a thread of the group, on its own fiber. `fail` ends the kernel; its message goes on where
  // "kernel K, block B, thread T" ends.
  void suspend(Thread& thread, const Wait& wait, Thread::State state = Thread::State::waiting);
  void yield(Thread& thread);
  [[noreturn]] void fail(const Thread& thread, const std::string& message, Site site);

  // Steps of threads, for virtual time. Turns that a thread only polls in are none: how many there
  // are is random.
  void count_steps(std::uint64_t steps) { steps_ += steps; }
  std::uint64_t steps() const { return steps_; }

  void wake(Thread& thread);
  void wake_all_at(const void* object);

  GridRun& grid() { return grid_; }
  Barrier& cluster_barrier() { return cluster_barrier_; }
  Block& block(unsigned rank) { return *blocks_[rank]; }
  unsigned size() const { return static_cast<unsigned>(blocks_.size()); }
  Random& random() { return random_; }

 private:
  static void enter(void* thread);
  Thread& take_ready();
  void resume(Thread& thread);
  void leave(Thread& thread);
  void stalled();
  void check_spinning();
  void abandon();
  std::string deadlock_report() const;

  GridRun& grid_;
  std::vector<std::unique_ptr<Block>> blocks_;
  Barrier cluster_barrier_;
  Random random_;
  const bool by_warp_;
  FiberPool* fibers_ = nullptr;
  std::vector<Thread*> ready_;
  unsigned running_;  // threads that have not left the kernel
  unsigned idle_rounds_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t yields_ = 0;  // since the last progress
  std::chrono::steady_clock::time_point last_progress_;
  bool abandoned_ = false;
  std::string failure_;
};

// A kernel that ended by a deadlock, a trap or a misuse of a device function.
struct KernelFailure {
  std::string message;
};

}  // namespace lockstep::emulator
