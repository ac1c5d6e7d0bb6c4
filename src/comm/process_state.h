// Whether another process of this machine still runs.
#pragma once

namespace lockstep {

enum class ProcessState { runs, stopped, gone };

// By /proc, where there is one; a process that cannot be looked at counts as running.
ProcessState process_state(int pid);

}  // namespace lockstep
