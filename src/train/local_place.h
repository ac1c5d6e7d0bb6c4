// A rank's turn among the GPUs of its machine.
#pragma once

#include "lockstep/device.h"
#include "lockstep/process_group.h"

namespace lockstep {

inline LocalPlace local_place(const ProcessGroup& processes) {
  return {processes.place(processes.rank()).neighbour,
          static_cast<int>(processes.neighbours().size())};
}

}  // namespace lockstep
