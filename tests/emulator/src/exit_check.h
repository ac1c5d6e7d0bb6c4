// What a program has not freed when it ends.
#pragma once

namespace lockstep::emulator {

// From now on a program that would end with exit code 0 and holds memory, streams, events or graphs
// says so on stderr and ends with kNotFreed. Once.
inline constexpr int kNotFreed = 70;
void check_at_exit();

}  // namespace lockstep::emulator
