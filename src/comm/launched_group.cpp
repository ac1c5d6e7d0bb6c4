#include "comm/launched_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>

#include "comm/process_state.h"

namespace lockstep {

namespace {

// What a launcher leaves between its SIGTERM and its SIGKILL: mpirun 0.9 s, torchrun and srun 30 s.
constexpr double kMpirunGrace = 0.4;
constexpr double kGrace = 5.0;

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown host";
}

void LaunchedGroup::expect(int rank, int size) {
  rank_ = rank;
  places_.resize(size);
  for (Place& place : places_) place.host = "not arrived";
}

void LaunchedGroup::call_roll() {
  const std::vector<std::string> hellos =
      all_gather_text(fmt::format("{} {}", getpid(), host_name()));
  for (int rank = 0; rank < size(); ++rank) {
    const std::string& hello = hellos[rank];
    const size_t space = hello.find(' ');
    std::from_chars(hello.data(), hello.data() + space, places_[rank].pid);
    places_[rank].host = hello.substr(space + 1);
  }
}

void LaunchedGroup::set_machines(const std::vector<int>& machines) {
  neighbours_.clear();
  for (int rank = 0; rank < size(); ++rank) {
    Place& place = places_[rank];
    place.machine = machines[rank];
    place.neighbour = 0;
    for (int other = 0; other < rank; ++other) {
      if (machines[other] == place.machine) ++place.neighbour;
    }
    if (place.machine == machines[rank_]) neighbours_.push_back(rank);
  }
}

std::string LaunchedGroup::describe(int rank) const {
  const Place& place = places_[rank];
  if (place.pid == 0) return fmt::format("rank {}", rank);
  const bool here = place.machine == places_[rank_].machine;
  const ProcessState state = here ? process_state(place.pid) : ProcessState::runs;
  return fmt::format("rank {} ({}, pid {}{})", rank, place.host, place.pid,
                     state == ProcessState::stopped ? ", stopped"
                     : state == ProcessState::gone  ? ", gone"
                                                    : "");
}

std::string LaunchedGroup::silent_ranks() const {
  std::string names;
  for (const int rank : neighbours_) {
    if (rank == rank_ || process_state(places_[rank].pid) == ProcessState::runs) continue;
    names += (names.empty() ? "" : ", ") + describe(rank);
  }
  if (!names.empty()) return names;
  return "another rank: those of this machine all run";
}

std::optional<std::string> LaunchedGroup::reason_to_give_up() const {
  for (const int rank : neighbours_) {
    if (rank != rank_ && process_state(places_[rank].pid) == ProcessState::gone) {
      return fmt::format("{} is no more", describe(rank));
    }
  }
  if (!stop_signal_ || stop_signal_->load(std::memory_order_relaxed) == 0) return std::nullopt;
  int64_t seen = 0;
  const int64_t now = now_ns();
  if (stop_seen_.compare_exchange_strong(seen, now)) seen = now;
  const double since = 1e-9 * static_cast<double>(now - seen);
  const bool by_mpirun = launcher_ == "mpirun" || launcher_ == "mpiexec";
  if (since < (by_mpirun ? kMpirunGrace : kGrace)) return std::nullopt;
  return "a signal ends this job";
}

}  // namespace lockstep
