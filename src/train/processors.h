// The processors that this process may use, and pinning workers to them.
#pragma once

#include <vector>

namespace lockstep {

// Numbers of the processors in this process's affinity mask, ascending; at least one entry.
std::vector<int> usable_processors();

// Binds the calling thread to one processor. Best effort: containers may forbid it.
void pin_to(int processor);

}  // namespace lockstep
