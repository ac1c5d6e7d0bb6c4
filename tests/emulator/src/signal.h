// Something that happens once, in a stream: what follows a wait for it is ordered after what came
// before it, and after nothing else.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace lockstep::emulator {

// All REQUIRE Quiet. Lives on the heap, so that its order ends with it.
class Signal {
 public:
  using Clock = std::chrono::steady_clock;

  void fire();
  bool fired() const;
  // Until it has fired. Only wait() orders what follows after what came before fire().
  void wait();
  void wait_without_order();
  bool order_if_fired();

  const void* token() const { return this; }
  Clock::time_point time() const { return time_; }  // REQUIRES fired

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool fired_ = false;
  Clock::time_point time_;
};

}  // namespace lockstep::emulator
