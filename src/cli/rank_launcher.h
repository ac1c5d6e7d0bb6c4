// Starts mpirun for `compare`'s modes of several processes (sync:4@mpi).
#pragma once

#include <atomic>

#include "cli/settings.h"
#include "lockstep/config.h"
#include "lockstep/result.h"

namespace lockstep::cli {

// Trains what `resolved` says on so many ranks as it has: `mpirun -n RANKS lockstep train FILE
// --json`, this very program, and returns what it reports. `settings` are the comparison's; `stop`,
// once non-zero, ends it. Throws Error{device} where there is no mpirun, else what the ranks
// reported.
RunResult train_on_ranks(const Settings& settings, const Resolved& resolved,
                         const std::atomic<int>& stop);

}  // namespace lockstep::cli
