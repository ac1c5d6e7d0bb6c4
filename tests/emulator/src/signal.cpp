#include "signal.h"

#include "sanitizer.h"

namespace lockstep::emulator {

void Signal::fire() {
  order_release(token());
  const std::lock_guard lock(mutex_);
  fired_ = true;
  time_ = Clock::now();
  virtual_time_ = virtual_now();
  changed_.notify_all();
}

bool Signal::fired() const {
  const std::lock_guard lock(mutex_);
  return fired_;
}

void Signal::wait() {
  wait_without_order();
  order_acquire(token());
  reach(virtual_time_);
}

void Signal::wait_without_order() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return fired_; });
}

bool Signal::order_if_fired() {
  if (!fired()) return false;
  order_acquire(token());
  reach(virtual_time_);
  return true;
}

}  // namespace lockstep::emulator
