// What the launchers leave in the environment of the processes that they start.
#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "data/environment.h"
#include "lockstep/process_group.h"

namespace lockstep {

namespace {

// The whole number in a variable; none where it is not set.
std::optional<int> number_in(const char* variable) {
  const std::string text = environment_variable(variable);
  if (text.empty()) return std::nullopt;
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < 0) {
    throw Error(ErrorKind::usage, fmt::format("{}={}: not a whole number", variable, text),
                fmt::format("a launcher sets it; unset {} to run one process", variable));
  }
  return value;
}

// The pair of variables by which one launcher tells a process its place.
struct Variables {
  const char* rank;
  const char* size;
  const char* launcher;
};
constexpr Variables kMpi[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "mpirun"},
    {"PMI_RANK", "PMI_SIZE", "mpiexec"},
};
constexpr Variables kSlurm = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "srun"};
constexpr Variables kTorchrun = {"RANK", "WORLD_SIZE", "torchrun"};

std::optional<Launch> launch_by(const Variables& names) {
  const auto size = number_in(names.size);
  if (!size) return std::nullopt;
  return Launch{
      .launcher = names.launcher, .rank = number_in(names.rank).value_or(0), .size = *size};
}

std::optional<Launch> launch_by_torchrun() {
  const auto rank = number_in(kTorchrun.rank), size = number_in(kTorchrun.size);
  if (!rank && !size) return std::nullopt;
  if (!rank || !size) {
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is set and {} is not: a launcher sets both",
                    rank ? kTorchrun.rank : kTorchrun.size, rank ? kTorchrun.size : kTorchrun.rank),
        "set both, with MASTER_ADDR and MASTER_PORT, or neither");
  }
  if (*rank >= *size) {
    throw Error(ErrorKind::usage,
                fmt::format("RANK={} with WORLD_SIZE={}: ranks are counted from 0", *rank, *size),
                "give each process a RANK of its own below WORLD_SIZE");
  }
  return Launch{.launcher = kTorchrun.launcher,
                .rank = *rank,
                .size = *size,
                .local_rank = number_in("LOCAL_RANK"),
                .local_size = number_in("LOCAL_WORLD_SIZE")};
}

}  // namespace

Launch find_launch() {
  for (const Variables& names : kMpi) {
    if (auto launch = launch_by(names)) {
      launch->speaks_mpi = true;
      return *launch;
    }
  }
  if (auto launch = launch_by(kSlurm)) {
    // `srun --mpi=pmix` tells the rank by this; without it processes cannot find each other.
    launch->speaks_mpi = number_in("PMIX_RANK").has_value();
    if (launch->size > 1 || launch->speaks_mpi) return *launch;
  }
  if (auto launch = launch_by_torchrun()) return *launch;
  return {};
}

}  // namespace lockstep
