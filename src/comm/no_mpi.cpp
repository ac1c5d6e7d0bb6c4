// A build without MPI.
#include <fmt/format.h>

#include "comm/launched.h"

namespace lockstep {

std::unique_ptr<ProcessGroup> join_mpi(const Launch& launch, double) {
  throw Error(
      ErrorKind::usage,
      fmt::format("{} started {} processes, and this build has no MPI to connect them: each "
                  "would train alone",
                  launch.launcher, launch.size),
      "install libopenmpi-dev and build again (cmake says whether it finds MPI), or use "
      "--workers in one process");
}

std::string mpi_version() {
  return {};
}

}  // namespace lockstep
