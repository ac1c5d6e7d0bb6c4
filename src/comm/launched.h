// What a build with MPI and one without (no_mpi.cpp) each have in their own way.
#pragma once

#include <memory>

#include "lockstep/process_group.h"

namespace lockstep {

// Throws Error{usage} where this build has no MPI, Error{communication} where ranks do not come.
std::unique_ptr<ProcessGroup> join_mpi(const Launch& launch, double timeout);

}  // namespace lockstep
