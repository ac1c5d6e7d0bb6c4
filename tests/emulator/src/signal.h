// Something that happens once, in a stream: what follows a wait for it is ordered after what came
// before it, and after nothing else.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "virtual_time.h"

namespace lockstep::emulator {

// All REQUIRE Quiet. Lives on the heap, so that its order ends with it.
class Signal {
 public:
  using Clock = std::chrono::steady_clock;

  void fire();
  bool fired() const;
  // Until it has fired. wait(), and order_if_fired() where it is true, order what follows after
  // what came before fire(), in virtual time as well. wait_without_order() does neither.
  void wait();
  void wait_without_order();
  bool order_if_fired();

  const void* token() const { return this; }
  // REQUIRE fired.
  Clock::time_point time() const { return time_; }
  VirtualTime virtual_time() const { return virtual_time_; }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool fired_ = false;
  Clock::time_point time_;
  VirtualTime virtual_time_{};
};

}  // namespace lockstep::emulator
