#include "grid.h"

#include <algorithm>

#include "device.h"
#include "fault.h"
#include "group.h"
#include "memory.h"
#include "random.h"
#include "report.h"
#include "sanitizer.h"

namespace lockstep::emulator {

namespace {

template <class Visit>
void for_each_index(dim3 size, Visit visit) {
  for (unsigned z = 0; z < size.z; ++z) {
    for (unsigned y = 0; y < size.y; ++y) {
      for (unsigned x = 0; x < size.x; ++x) visit(uint3{x, y, z});
    }
  }
}

}  // namespace

GridRun::GridRun(KernelLaunch launch, std::shared_ptr<GridRun> dependency, std::uint64_t seed)
    : launch_(std::move(launch)),
      dependency_(std::move(dependency)),
      seed_(seed),
      start_token_(std::make_unique<char>()),
      blocks_to_launch_(std::uint64_t{launch_.grid.x} * launch_.grid.y * launch_.grid.z) {}

std::string GridRun::name() const {
  return function_name(launch_.function);
}

void GridRun::run(FiberPool& fibers) {
  const cudaError_t injected = faults().kernel.next_error();
  if (injected != cudaSuccess) {
    launch_.device->fail(injected, "kernel " + name() + ": an injected failure");
  }
  const bool runs = launch_.device->sticky_error() == cudaSuccess;
  if (runs) run_groups(fibers);
  if (!launched_dependents_.fired()) launched_dependents_.fire();
  await_dependency();  // a grid has not ended before what it depends on has
  dependency_.reset();
  if (runs) spend(cost());
  completed_.fire();
}

void GridRun::run_groups(FiberPool& fibers) {
  const DeviceMemoryInUse in_use;
  auto order = groups();
  Random random(seed_);
  random.shuffle(order);
  try {
    for (const auto& blocks : order) {
      Group group(*this, blocks, random.next());
      group.run(fibers);
      steps_ += group.steps();
    }
  } catch (const KernelFailure& failure) {
    launch_.device->fail(cudaErrorLaunchFailure, failure.message);
  }
}

VirtualTime GridRun::cost() const {
  const std::uint64_t blocks = std::uint64_t{launch_.grid.x} * launch_.grid.y * launch_.grid.z;
  const auto multiprocessors = static_cast<std::uint64_t>(launch_.device->multiprocessors);
  return kernel_cost(steps_, std::min(blocks, multiprocessors));
}

// The blocks that run together: those of a cluster, in order of their rank.
std::vector<std::vector<uint3>> GridRun::groups() const {
  const dim3 together = launch_.cooperative ? launch_.grid : launch_.cluster;
  const dim3 count(launch_.grid.x / together.x, launch_.grid.y / together.y,
                   launch_.grid.z / together.z);
  std::vector<std::vector<uint3>> groups;
  for_each_index(count, [&](uint3 group) {
    auto& blocks = groups.emplace_back();
    for_each_index(together, [&](uint3 within) {
      blocks.push_back({group.x * together.x + within.x, group.y * together.y + within.y,
                        group.z * together.z + within.z});
    });
  });
  return groups;
}

void GridRun::block_launched_dependents(Block& block) {
  if (block.launched_dependents) return;
  block.launched_dependents = true;
  if (--blocks_to_launch_ == 0) launched_dependents_.fire();
}

void GridRun::await_dependency() {
  if (dependency_) dependency_->completed().wait();
}

uint3 thread_index() {
  return running_thread().index;
}

uint3 block_index() {
  return running_thread().block->index;
}

dim3 block_dimensions() {
  return running_thread().group().grid().launch().block;
}

dim3 grid_dimensions() {
  return running_thread().group().grid().launch().grid;
}

unsigned lane_index() {
  return running_thread().lane();
}

}  // namespace lockstep::emulator
