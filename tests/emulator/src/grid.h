// A kernel launch, and one run of it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "emulator/launch.h"
#include "fiber.h"
#include "signal.h"

namespace lockstep::emulator {

class Device;
struct Block;

// What was asked for, checked. A graph runs it again and again.
struct KernelLaunch {
  Device* device;
  const void* function;
  KernelBody body;
  dim3 grid;
  dim3 block;
  dim3 cluster;
  std::size_t shared_bytes;
  bool programmatic;  // may start when the kernel before it has launched its dependents
  bool cooperative;   // all blocks run together
};

// All REQUIRE Quiet, but body().
class GridRun {
 public:
  // `dependency` is the grid that runs before this one, where this one may overlap it, else null.
  GridRun(KernelLaunch launch, std::shared_ptr<GridRun> dependency, std::uint64_t seed);

  // Runs all blocks, in random order, and fires the signals. A failure becomes the device's. In
  // virtual time it starts after the grid that it depends on.
  void run(FiberPool& fibers);

  const KernelLaunch& launch() const { return launch_; }
  const std::function<void()>& body() const { return *launch_.body; }
  GridRun* dependency() const { return dependency_.get(); }
  std::string name() const;

  // Device threads are ordered after its release, by the stream, and nothing else. It is not the
  // one that they release when they end: that would order blocks of the grid.
  const void* start_token() const { return start_token_.get(); }

  // All blocks have launched their dependents, or have ended.
  Signal& launched_dependents() { return launched_dependents_; }
  Signal& completed() { return completed_; }

  void block_launched_dependents(Block& block);
  void await_dependency();

 private:
  std::vector<std::vector<uint3>> groups() const;
  void run_groups(FiberPool& fibers);
  VirtualTime cost() const;

  const KernelLaunch launch_;
  std::shared_ptr<GridRun> dependency_;
  std::uint64_t seed_;
  std::unique_ptr<char> start_token_;
  Signal launched_dependents_;
  Signal completed_;
  std::uint64_t blocks_to_launch_;
  std::uint64_t steps_ = 0;  // of the threads of blocks that have ended
};

}  // namespace lockstep::emulator
