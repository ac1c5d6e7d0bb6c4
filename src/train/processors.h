// The processors that this process may use, and pinning workers to them.
#pragma once

#include <vector>

#include "lockstep/process_group.h"

namespace lockstep {

// Numbers of the processors in this process's affinity mask, ascending; at least one entry.
std::vector<int> usable_processors();

// The processors of one rank.
struct RankProcessors {
  std::vector<int> usable;  // by this rank alone, where that can be had
  int shared = 1;           // that the ranks of this machine have between them
};
// Ranks of one machine that their launcher bound to nothing each take `threads` processors of their
// own, as far as those go. Collective.
RankProcessors divide_processors(ProcessGroup& processes, int threads);

// Binds the calling thread to one processor. Best effort: containers may forbid it.
void pin_to(int processor);

}  // namespace lockstep
