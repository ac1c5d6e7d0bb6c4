// Fences, atomics, traps and programmatic dependent launch: what a kernel says about order.
#include "grid.h"
#include "group.h"
#include "mutation.h"
#include "sanitizer.h"

namespace lockstep::emulator {

namespace {

constexpr std::uint64_t kAtomicsPerYield = 16;

}  // namespace

// C++'s rule for fences: an atomic after a fence releases what was before the fence, and a fence
// acquires what was released to the addresses that atomics before it touched. Slightly too strong
// for the first half: it releases what was before the atomic as well.
AtomicOrder before_atomic(const void* address, Site site) {
  Thread& thread = running_thread(site);
  {
    const Quiet quiet;
    if (mutation().left_out("an atomic", site)) return AtomicOrder::none;
  }
  thread.atomics[thread.atomic_count++ % thread.atomics.size()] = address;
  if (thread.group().random().below(kAtomicsPerYield) == 0) yield();
  return thread.fenced ? AtomicOrder::release : AtomicOrder::relaxed;
}

void fence(Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  if (mutation().left_out("__threadfence", site)) return;
  for (const void* address : thread.atomics) {
    if (address) order_acquire(address);
  }
  thread.atomics = {};
  thread.fenced = true;
}

void yield() {
  Thread& thread = running_thread();
  const Quiet quiet;
  thread.group().yield(thread);
}

void work(std::uint64_t steps) {
  running_thread().group().count_steps(steps);
}

void trap(const char* what, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  thread.group().fail(thread, what, site);
}

void wait_for_dependency(Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  Group& group = thread.group();
  if (!group.grid().dependency()) return;
  if (!group.grid().dependency()->completed().fired()) {
    group.suspend(thread, {.what = "griddepcontrol.wait", .site = site}, Thread::State::external);
  }
  order_acquire(group.grid().dependency()->completed().token());
}

void launch_dependents() {
  Thread& thread = running_thread();
  const Quiet quiet;
  thread.group().grid().block_launched_dependents(*thread.block);
}

}  // namespace lockstep::emulator
