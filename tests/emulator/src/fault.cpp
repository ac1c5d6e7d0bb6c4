#include "fault.h"

#include "settings.h"

namespace lockstep::emulator {

void Fault::choose(long k, cudaError_t error) {
  seen_ = 0;
  chosen_ = k;
  error_ = error;
}

bool Fault::next() {
  return seen_++ == chosen_;
}

Faults::Faults()
    : kernel(failing_kernel(), cudaErrorIllegalAddress), allocation(failing_allocation()) {}

void Faults::clear() {
  for (Fault* fault : {&barrier, &event_wait, &launch, &kernel, &capture, &allocation}) {
    fault->choose(-1);
  }
}

Faults& faults() {
  static auto* instance = new Faults;
  return *instance;
}

}  // namespace lockstep::emulator
