// How the workers of one run reach each other's memory: they are threads of one process; or of
// several processes on one machine, whose buffers then lie in shared memory; or they do not, and
// ranks exchange messages.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "comm/thread_group.h"
#include "lockstep/config.h"
#include "lockstep/process_group.h"
#include "train/floats.h"

namespace lockstep {

enum class Reach { process, machine, messages };

class JobMemory {
 public:
  // Collective over the ranks of `resolved`. `floats_each` is what one worker will allocate, at
  // most; `floats_shared` what all share.
  JobMemory(const Resolved& resolved, size_t floats_each, size_t floats_shared);

  Reach reach() const { return reach_; }
  // Why ranks of one machine exchange messages; empty: nothing to be said.
  const std::string& note() const { return note_; }

  // Memory of a worker of this process, zeroed: what its peers may read. Any thread.
  Floats allocate(size_t floats);
  // One array for all workers, zeroed; every rank asks for the same ones in the same order.
  Floats allocate_shared(size_t floats);

  // What the workers' ThreadGroup and StopGate stand in. REQUIRES: Reach::machine.
  ThreadGroup::Shared group_memory() const;
  std::span<std::byte> gate_memory() const;

 private:
  std::span<std::byte> take(size_t& used, std::span<std::byte> segment, size_t bytes);

  ProcessGroup& processes_;
  int workers_ = 1, local_workers_ = 1;
  Reach reach_ = Reach::process;
  std::string note_;
  std::unique_ptr<SharedMemory> memory_;
  std::span<std::byte> counters_, gate_;
  size_t used_ = 0;         // of this rank's segment
  size_t used_shared_ = 0;  // of rank 0's segment, from its end's part on
  size_t shared_begin_ = 0;
  std::mutex mutex_;
};

}  // namespace lockstep
