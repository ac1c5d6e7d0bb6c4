#include "group.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "grid.h"
#include "report.h"
#include "sanitizer.h"
#include "settings.h"

namespace lockstep::emulator {

namespace {

struct Abandoned {};  // unwinds the threads of a kernel that failed

// Rounds in which every thread polled and nothing else happened, before that is a deadlock.
constexpr unsigned kIdleRounds = 1000;
constexpr std::uint64_t kYieldsPerLook = 4096;
constexpr std::uint64_t kExceptions = 64;  // turns for one that goes to any thread

thread_local Thread* current = nullptr;

}  // namespace

// Not inlined: a fiber may go on in another OS thread than it began in, where `current` is another.
__attribute__((noinline)) Thread& running_thread(Site site) {
  if (!current) {
    std::fprintf(stderr, "emulator: a device function was called outside a kernel %s:%d\n",
                 site.file, site.line);
    std::abort();
  }
  return *current;
}

Group::Group(GridRun& grid, const std::vector<uint3>& blocks, std::uint64_t seed)
    : grid_(grid),
      cluster_barrier_(0),
      random_(seed),
      by_warp_(random_.below(2) == 0),
      last_progress_(std::chrono::steady_clock::now()) {
  for (const uint3 index : blocks) {
    blocks_.push_back(std::make_unique<Block>(*this, index, size(), grid.launch().block,
                                              grid.launch().shared_bytes));
    std::uint64_t precedence = 0;
    for (Thread& thread : blocks_.back()->threads) {
      if (thread.lane() == 0) precedence = random_.next();
      thread.precedence = precedence;
      ready_.push_back(&thread);
    }
  }
  running_ = static_cast<unsigned>(ready_.size());
  cluster_barrier_ = Barrier(running_);
}

void Group::run(FiberPool& fibers) {
  fibers_ = &fibers;
  fibers.prepare(running_);
  while (running_ > 0 && failure_.empty()) {
    if (ready_.empty()) {
      stalled();
      continue;
    }
    resume(take_ready());
    if (yields_ >= kYieldsPerLook) check_spinning();
  }
  if (failure_.empty()) return;
  abandon();
  throw KernelFailure{failure_};
}

Thread& Group::take_ready() {
  std::size_t chosen = random_.below(ready_.size());
  // Not always: one that spins must not keep back those that it waits for.
  if (by_warp_ && random_.below(kExceptions) != 0) {
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      if (ready_[i]->precedence > ready_[chosen]->precedence) chosen = i;
    }
  }
  std::swap(ready_[chosen], ready_.back());
  Thread& thread = *ready_.back();
  ready_.pop_back();
  return thread;
}

void Group::enter(void* argument) {
  const Thread& thread = *static_cast<Thread*>(argument);
  GridRun& grid = thread.group().grid();
  {
    const Quiet quiet;
    order_acquire(grid.start_token());
  }
  try {
    grid.body()();
  } catch (const Abandoned&) {  // the group knows why
  }
  const Quiet quiet;
  order_release(grid.completed().token());
}

void Group::resume(Thread& thread) {
  current = &thread;
  bool finished = false;
  if (thread.state == Thread::State::fresh) {
    thread.state = Thread::State::ready;
    count_steps(1);
    thread.fiber = fibers_->take();
    finished = thread.fiber->start(enter, &thread);
  } else {
    finished = thread.fiber->resume();
  }
  current = nullptr;
  if (finished) leave(thread);
}

void Group::leave(Thread& thread) {
  thread.state = Thread::State::finished;
  fibers_->give_back(thread.fiber);
  thread.fiber = nullptr;
  --running_;
  idle_rounds_ = 0;
  yields_ = 0;
  if (abandoned_) return;
  Block& block = *thread.block;
  thread.warp().leave(thread.lane());
  block.barrier.leave();
  cluster_barrier_.leave(thread.cluster_phase);
  if (--block.running > 0) return;
  grid_.block_launched_dependents(block);
  if (size() > 1) {  // its shared memory is gone for the other blocks of the cluster
    std::memset(block.shared, kUninitialized, block.shared_bytes);
    poison(block.shared, block.shared_bytes);
  }
}

void Group::suspend(Thread& thread, const Wait& wait, Thread::State state) {
  thread.wait = wait;
  thread.state = state;
  thread.fiber->suspend();
  if (abandoned_) throw Abandoned{};
}

void Group::yield(Thread& thread) {
  ++yields_;
  ready_.push_back(&thread);
  suspend(thread, {.what = "nothing"}, Thread::State::ready);
}

void Group::fail(const Thread& thread, const std::string& message, Site site) {
  if (failure_.empty()) {
    failure_ = describe(thread) + ": " + message + describe(site);
  }
  throw Abandoned{};
}

void Group::wake(Thread& thread) {
  thread.state = Thread::State::ready;
  ready_.push_back(&thread);
  idle_rounds_ = 0;
  yields_ = 0;
}

void Group::wake_all_at(const void* object) {
  for (const auto& block : blocks_) {
    for (Thread& thread : block->threads) {
      if (thread.state == Thread::State::polling && thread.wait.object == object) wake(thread);
    }
  }
}

// No thread can go on by itself.
void Group::stalled() {
  std::vector<Thread*> polling;
  std::vector<Thread*> external;
  for (const auto& block : blocks_) {
    for (Thread& thread : block->threads) {
      if (thread.state == Thread::State::polling) polling.push_back(&thread);
      if (thread.state == Thread::State::external) external.push_back(&thread);
    }
  }
  if (!external.empty()) {
    grid_.await_dependency();
    for (Thread* thread : external) wake(*thread);
    return;
  }
  if (polling.empty() || ++idle_rounds_ > kIdleRounds) {
    failure_ = deadlock_report();
    return;
  }
  for (Thread* thread : polling) {
    thread->state = Thread::State::ready;
    ready_.push_back(thread);
  }
}

void Group::check_spinning() {
  const auto now = std::chrono::steady_clock::now();
  if (yields_ < 2 * kYieldsPerLook) {
    last_progress_ = now;
    yields_ = 2 * kYieldsPerLook;
  }
  std::this_thread::yield();
  const std::chrono::duration<double> spinning = now - last_progress_;
  if (spinning.count() < settings().spin_limit) return;
  failure_ = "kernel " + grid_.name() + ", block " + describe(blocks_[0]->index) +
             ": its threads spin, and nothing else has happened for " +
             std::to_string(spinning.count()) + " s";
}

// Every thread that has begun leaves its stack, so that the fibers can be used again.
void Group::abandon() {
  abandoned_ = true;
  for (const auto& block : blocks_) {
    for (Thread& thread : block->threads) {
      if (thread.fiber) resume(thread);
    }
  }
}

std::string Group::deadlock_report() const {
  std::string report = "deadlock in kernel " + grid_.name() + ": no thread can go on.";
  for (const auto& block : blocks_) report += describe_waiting(*block);
  return report;
}

}  // namespace lockstep::emulator
