#include "virtual_time.h"

#include <algorithm>

namespace lockstep::emulator {

namespace {

constexpr VirtualTime kLaunch{1000};  // of a kernel, copy or fill of any size
// A block takes 1 us for 32 x 32 x 32 of a float32 product, with 128 threads.
constexpr VirtualTime kStep{1};
constexpr std::size_t kBytesPerNanosecond = 25;

thread_local VirtualTime clock_of_thread{0};

}  // namespace

// Not inlined: a fiber may go on in another OS thread than it began in, which has another clock.
__attribute__((noinline)) VirtualTime virtual_now() {
  return clock_of_thread;
}

void reach(VirtualTime time) {
  clock_of_thread = std::max(clock_of_thread, time);
}

void spend(VirtualTime cost) {
  clock_of_thread += cost;
}

VirtualTime kernel_cost(std::uint64_t steps, std::uint64_t blocks_at_a_time) {
  return kLaunch + kStep * static_cast<VirtualTime::rep>(steps / blocks_at_a_time);
}

VirtualTime copy_cost(std::size_t bytes) {
  return kLaunch + VirtualTime(bytes / kBytesPerNanosecond);
}

}  // namespace lockstep::emulator
