#include "fiber.h"

#include <algorithm>
#include <atomic>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "emulator/control.h"
#include "sanitizer.h"

namespace lockstep::emulator {

namespace {

constexpr std::size_t kStackBytes = 128 << 10;
constexpr std::size_t kSanitizedStackBytes = 256 << 10;  // AddressSanitizer's frames are larger
constexpr std::size_t kMostSanitizedFibers = 7000;       // ThreadSanitizer counts to 8,191
// A block that shared fibers with the block before would be ordered after it: no kernel has more
// threads in a block.
constexpr std::size_t kRest = 256;
constexpr std::size_t kStackStarts = 256;
constexpr std::size_t kCacheLine = 64;

// Never freed: a suspended fiber cannot be destroyed under a sanitizer's eyes.
struct Retired {
  std::mutex mutex;
  std::vector<Fiber*> fibers;
  std::size_t made = 0;
};

Retired& retired() {
  static auto* instance = new Retired;
  return *instance;
}

Fiber* adopt_or_make() {
  const std::lock_guard lock(retired().mutex);
  if (!retired().fibers.empty()) {
    Fiber* fiber = retired().fibers.back();
    retired().fibers.pop_back();
    return fiber;
  }
  if (under_thread_sanitizer() && ++retired().made > kMostSanitizedFibers) {
    std::fprintf(stderr,
                 "emulator: ThreadSanitizer allows no more than about 8,000 device threads "
                 "in all streams together: use smaller blocks or fewer devices\n");
    std::abort();
  }
  return new Fiber;
}

}  // namespace

Fiber::Fiber() : sanitizer_context_(create_fiber_context()) {
  boost::context::protected_fixedsize_stack stack(under_address_sanitizer() ? kSanitizedStackBytes
                                                                            : kStackBytes);
  const boost::context::stack_context memory = stack.allocate();
  stack_bytes_ = memory.size;
  stack_bottom_ = static_cast<const char*>(memory.sp) - memory.size;
  // Stacks that began at the same place of a page would compete for the same lines of the caches.
  static std::atomic<std::size_t> made = 0;
  const std::size_t unused = made++ % kStackStarts * kCacheLine;
  const boost::context::preallocated place(static_cast<char*>(memory.sp) - unused,
                                           memory.size - unused, memory);
  const auto entry = [this](boost::context::fiber&& caller) {
    loop(std::move(caller));
    return std::move(caller_);
  };
  context_ = boost::context::fiber(std::allocator_arg, place, stack, entry);
}

void Fiber::loop(boost::context::fiber&& caller) {
  caller_ = std::move(caller);
  enter_stack(nullptr, &caller_bottom_, &caller_bytes_);
  for (;;) {
    body_(argument_);
    finished_ = true;
    suspend();
  }
}

bool Fiber::start(Body body, void* argument) {
  body_ = body;
  argument_ = argument;
  finished_ = false;
  return resume();
}

bool Fiber::resume() {
  void* saved = nullptr;
  caller_sanitizer_context_ = current_fiber_context();
  leave_stack(&saved, stack_bottom_, stack_bytes_);
  switch_fiber_context(sanitizer_context_);
  context_ = std::move(context_).resume();
  enter_stack(saved, nullptr, nullptr);
  return finished_;
}

void Fiber::suspend() {
  void* saved = nullptr;
  leave_stack(&saved, caller_bottom_, caller_bytes_);
  switch_fiber_context(caller_sanitizer_context_);
  caller_ = std::move(caller_).resume();
  enter_stack(saved, &caller_bottom_, &caller_bytes_);
}

FiberPool::~FiberPool() {
  const std::lock_guard lock(retired().mutex);
  retired().fibers.insert(retired().fibers.end(), idle_.begin(), idle_.end());
}

void FiberPool::prepare(std::size_t threads) {
  if (!under_thread_sanitizer()) return;
  const std::size_t enough = threads + std::min(threads, kRest);
  while (idle_.size() < enough) idle_.push_back(adopt_or_make());
}

Fiber* FiberPool::take() {
  if (idle_.empty()) return adopt_or_make();
  Fiber* fiber = nullptr;
  if (under_thread_sanitizer()) {
    fiber = idle_.front();
    idle_.pop_front();
  } else {
    fiber = idle_.back();
    idle_.pop_back();
  }
  return fiber;
}

void FiberPool::give_back(Fiber* fiber) {
  idle_.push_back(fiber);
}

}  // namespace lockstep::emulator
