// Every call of MPI is checked.
#pragma once

#include <mpi.h>

namespace lockstep {

// Throws Error{communication} unless `code` is MPI_SUCCESS. Communicators must have
// MPI_ERRORS_RETURN as their error handler.
void check_mpi(int code, const char* call, const char* file = __builtin_FILE(),
               int line = __builtin_LINE());

}  // namespace lockstep
