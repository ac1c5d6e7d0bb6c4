// A grid's last block takes over what all blocks have written: two stages in one kernel.
#pragma once

#include "kernels/device.h"

namespace lockstep::device {

// True for the block that takes the grid's last ticket. By one thread, which has seen or been told
// by a barrier that the block has written what it hands over; what it does next sees all that the
// blocks before it handed over, and so do threads that a barrier puts after it. `ticket` is 0
// before and after.
__device__ __forceinline__ bool take_last_ticket(unsigned* ticket) {
  __threadfence();
  const bool last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
  __threadfence();
  return last;
}

}  // namespace lockstep::device
