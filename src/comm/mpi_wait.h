// Waiting for MPI with a deadline: requests are tested, never waited for, since a blocking call of
// MPI cannot time out.
#pragma once

#include <mpi.h>

#include <functional>
#include <span>
#include <string>

#include "comm/wait.h"

namespace lockstep {

// Whether all of them are complete; those that are become MPI_REQUEST_NULL.
bool test_all(std::span<MPI_Request> requests);

// Returns when all are complete. Throws Error{communication} at the policy's deadline or where it
// has a reason to give up: "rank 1 (...) waited 60.0 s PLACE for MISSING".
void wait_for_requests(const WaitPolicy& policy, std::span<MPI_Request> requests,
                       const std::string& self, const char* place,
                       const std::function<std::string()>& missing);

[[noreturn]] void give_up_waiting(const std::string& self, const char* place,
                                  const std::string& missing, double waited,
                                  const std::string& reason);

}  // namespace lockstep
