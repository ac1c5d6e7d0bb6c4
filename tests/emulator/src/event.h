// An event: the signal of the last time that it was recorded.
#pragma once

#include <memory>
#include <vector>

#include "signal.h"

namespace lockstep::emulator {

class Capture;
class Device;

// Guarded by the runtime's lock.
struct Event {
  Device* device;
  bool timing;
  std::shared_ptr<Signal> signal;  // null where never recorded, or recorded in a capture
  bool captured = false;           // the last record was in a capture
  std::weak_ptr<Capture> capture;  // that one, while it goes on
  std::vector<std::size_t> nodes;  // what the stream had come to there
};

}  // namespace lockstep::emulator
