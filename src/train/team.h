// The threads of one training: started once, pinned where the platform allows, joined at the end.
#pragma once

#include <functional>
#include <vector>

#include "comm/thread_group.h"

namespace lockstep {

// The workers of a group that are this process's.
struct TeamPart {
  int first = 0;
  int count = 1;
};

// Runs worker(first) ... worker(first + count - 1), each on a thread of its own, and joins them.
// The first error of a worker aborts the group, so that its peers leave their waits, and is
// rethrown here; where only a worker of another process had one, PeerAborted. `processors`: those
// to pin to, one a worker; empty: not pinned.
void run_team(ThreadGroup& group, TeamPart part, const std::vector<int>& processors,
              const std::function<void(int rank)>& worker);
// Of a group that is all this process's.
void run_team(ThreadGroup& group, const std::vector<int>& processors,
              const std::function<void(int rank)>& worker);

}  // namespace lockstep
