// Virtual time: what work would take, counted and not measured, so that it is the same in every run
// and on every machine. It passes always; settings say whether events show it.
//
// Each thread has a clock: a host thread's, or that of the stream whose thread it is. An operation
// starts once its stream, whoever enqueued it and what it waits for have come so far, and ends what
// it costs later. Host code costs nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace lockstep::emulator {

using VirtualTime = std::chrono::nanoseconds;

// Of the calling thread.
VirtualTime virtual_now();
void reach(VirtualTime time);  // the clock shows this time or a later one
void spend(VirtualTime cost);

// Of a kernel whose threads have come so many steps, in blocks that run so many at a time: a step
// is from the start or a meeting with other threads to the next one. Of a copy or a fill.
VirtualTime kernel_cost(std::uint64_t steps, std::uint64_t blocks_at_a_time);
VirtualTime copy_cost(std::size_t bytes);

}  // namespace lockstep::emulator
