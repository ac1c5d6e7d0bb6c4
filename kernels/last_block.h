// The last of several blocks takes over what all of them have written: two stages in one kernel.
#pragma once

#include "kernels/device.h"

namespace lockstep::device {

// True for the block that takes the last of `blocks` tickets. By one thread, which has seen or been
// told by a barrier that the block has written what it hands over; what it does next sees all that
// the blocks before it handed over, and so do threads that a barrier puts after it. `ticket` is 0
// before and after.
__device__ __forceinline__ bool take_last_ticket(unsigned* ticket, unsigned blocks) {
  __threadfence();
  const bool last = atomicInc(ticket, blocks - 1) == blocks - 1;
  __threadfence();
  return last;
}
// Of the grid, which has one dimension.
__device__ __forceinline__ bool take_last_ticket(unsigned* ticket) {
  return take_last_ticket(ticket, gridDim.x);
}

}  // namespace lockstep::device
