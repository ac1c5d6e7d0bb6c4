// What a build with MPI or NCCL and one without (no_mpi.cpp, no_nccl.cpp) each have in their own
// way.
#pragma once

#include <memory>

#include "lockstep/process_group.h"

namespace lockstep {

// Throws Error{usage} where this build has no MPI, Error{communication} where ranks do not come.
std::unique_ptr<ProcessGroup> join_mpi(const Launch& launch, double timeout);

// By the variables of torchrun, over NCCL. Throws Error{usage} where variables or NCCL lack or the
// job is one for CPUs, Error{device} where this process has no GPU for it, Error{communication}
// where ranks do not come.
std::unique_ptr<ProcessGroup> join_by_nccl(const Launch& launch, const JoinOptions& options);

}  // namespace lockstep
