// What the command line does where a launcher started several ranks.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/session.h"

namespace lockstep::cli {

// Joins the launcher's other processes, if there are any; a command line that cannot be read (it is
// then `failure`) fails on all of them alike.
void join_ranks(Session& session, const std::optional<Error>& failure);

// Where torchrun asks for it (TORCHELASTIC_ERROR_FILE), leaves the error in that file, which
// torchrun shows at its end.
void write_error_file(const Error& error);

// What all ranks must have in common, name and value.
using Facts = std::vector<std::pair<std::string, std::string>>;

// Throws AgreedFailure{usage} naming the rank, the fact and both values where ranks differ.
void require_equal_ranks(ProcessGroup& processes, const Facts& facts);

// Throws AgreedFailure{device} naming two ranks that take the same GPU; `own` are this rank's, by
// name and UUID.
void require_own_gpus(ProcessGroup& processes, const std::vector<std::string>& own);

// The first fact in which `theirs` differs from `ours`: "has --lr 0.2, rank 0 has 0.1". Empty:
// none.
std::string first_difference(const Facts& ours, const Facts& theirs);

}  // namespace lockstep::cli
