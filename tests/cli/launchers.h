// The program as launchers start it, and what a training gave.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// For Open MPI where root runs it. Memory that MPI never frees is not ours to look for.
inline const Words kMpiEnvironment = {
    "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "ASAN_OPTIONS=detect_leaks=0"};

#ifdef LOCKSTEP_MPIRUN
// `mpirun -n RANKS lockstep ARGUMENTS`.
inline Words on_ranks(int ranks, const Words& arguments) {
  return Words{LOCKSTEP_MPIRUN,       "--oversubscribe", "--bind-to", "none", "-n",
               std::to_string(ranks), program()} +
         arguments;
}
#endif

// The document's one run, of a training that went well.
inline nlohmann::json run_of(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), ::testing::IsEmpty());
  return document["runs"][0];
}

inline std::string hash_of(const ProcessResult& result) {
  return run_of(result)["parameters_sha256"];
}

}  // namespace lockstep::testing
