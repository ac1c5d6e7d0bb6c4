#include "fault.h"

namespace lockstep::emulator {

Faults& faults() {
  static auto* instance = new Faults;
  return *instance;
}

void Faults::drop_barrier(long k) {
  const std::lock_guard lock(mutex_);
  barriers_.choose(k);
}

void Faults::drop_event_wait(long k) {
  const std::lock_guard lock(mutex_);
  event_waits_.choose(k);
}

void Faults::fail_launch(long k, cudaError_t error) {
  const std::lock_guard lock(mutex_);
  launches_.choose(k);
  launch_error_ = error;
}

bool Faults::next_barrier_is_dropped() {
  const std::lock_guard lock(mutex_);
  return barriers_.next();
}

bool Faults::next_event_wait_is_dropped() {
  const std::lock_guard lock(mutex_);
  return event_waits_.next();
}

cudaError_t Faults::next_launch() {
  const std::lock_guard lock(mutex_);
  return launches_.next() ? launch_error_ : cudaSuccess;
}

long Faults::barriers() const {
  const std::lock_guard lock(mutex_);
  return barriers_.seen;
}

long Faults::event_waits() const {
  const std::lock_guard lock(mutex_);
  return event_waits_.seen;
}

long Faults::launches() const {
  const std::lock_guard lock(mutex_);
  return launches_.seen;
}

}  // namespace lockstep::emulator
