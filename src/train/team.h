// The threads of one training: started once, pinned where the platform allows, joined at the end.
#pragma once

#include <functional>
#include <vector>

#include "comm/thread_group.h"

namespace lockstep {

// Runs worker(0) ... worker(W-1), each on a thread of its own, and joins them. The first error of a
// worker aborts the group, so that its peers leave their waits, and is rethrown here.
// `processors`: those to pin to, one a worker; empty: not pinned.
void run_team(ThreadGroup& group, const std::vector<int>& processors,
              const std::function<void(int rank)>& worker);

}  // namespace lockstep
