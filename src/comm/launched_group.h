// What groups of processes have in common, whatever carries their words: where each rank runs, and
// what a rank that waits can see of the others.
#pragma once

#include <string>
#include <vector>

#include "lockstep/process_group.h"

namespace lockstep {

// This machine's name.
std::string host_name();

class LaunchedGroup : public ProcessGroup {
 public:
  int rank() const final { return rank_; }
  int size() const final { return static_cast<int>(places_.size()); }
  const Place& place(int rank) const final { return places_[rank]; }
  const std::vector<int>& neighbours() const final { return neighbours_; }
  void watch(const std::atomic<int>* stop_signal) final { stop_signal_ = stop_signal; }
  std::optional<std::string> reason_to_give_up() const final;
  std::string describe(int rank) const final;
  std::string silent_ranks() const final;

 protected:
  // `launcher`: it decides how much time a signal leaves.
  explicit LaunchedGroup(std::string launcher) : launcher_(std::move(launcher)) {}

  // Nobody is known yet.
  void expect(int rank, int size);
  // Collective, by all_gather_text(). Fills in where ranks are, without their machines.
  void call_roll();
  // `machines`: of each rank, equal where they can share memory.
  void set_machines(const std::vector<int>& machines);

 private:
  std::string launcher_;
  int rank_ = 0;
  std::vector<Place> places_;
  std::vector<int> neighbours_;
  const std::atomic<int>* stop_signal_ = nullptr;
  mutable std::atomic<int64_t> stop_seen_{0};  // steady clock, when a waiting rank saw the signal
};

}  // namespace lockstep
