// The state of device threads, warps and blocks while they run. All of a group is touched by its
// one OS thread only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "barrier.h"
#include "emulator/device_runtime.h"
#include "fiber.h"
#include "warp.h"

namespace lockstep::emulator {

class Group;
struct Block;

// What a thread waits for, in words of the report of a deadlock.
struct Wait {
  const char* what = "";
  Site site{};
  unsigned mask = 0;             // of a warp operation
  const void* object = nullptr;  // an mbarrier
};

struct Thread {
  enum class State {
    fresh,     // not started
    ready,     // in the group's queue
    waiting,   // until woken
    polling,   // until woken, or until nothing else can run
    external,  // for the grid that this one depends on
    finished
  };

  Group& group() const;
  unsigned lane() const { return linear % 32; }
  Warp& warp() const;

  Block* block = nullptr;
  unsigned linear = 0;
  uint3 index{};
  std::uint64_t precedence = 0;  // of the warp
  Fiber* fiber = nullptr;
  State state = State::fresh;
  Wait wait;
  unsigned barriers = 0;    // __syncthreads passed or reached
  long cluster_phase = -1;  // of an arrival not waited for yet
  std::vector<AsyncCopy> copies;
  std::vector<std::size_t> copy_groups;  // sizes, oldest first
  std::size_t copies_open = 0;           // not committed
  bool fenced = false;
  std::array<const void*, 8> atomics{};  // the latest, for the next fence
  unsigned atomic_count = 0;
};

// What a block's dynamic shared memory is before it is written: NaN to a float.
inline constexpr int kUninitialized = 0xff;

struct Block {
  Block(Group& group, uint3 index, unsigned rank, dim3 size, std::size_t shared_bytes);
  ~Block();

  Group& group;
  uint3 index;
  unsigned rank;  // in the cluster
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barrier;
  unsigned barriers_begun = 0;
  Site barrier_site;
  long dropped_barrier = -1;
  void* shared;
  std::size_t shared_bytes;
  unsigned running;
  bool launched_dependents = false;
};

}  // namespace lockstep::emulator
