// A thread that looks at the communicators of a process: errors that NCCL reports late, workers
// that stop, steps that make no progress until the deadline. Where one fails it aborts all, since a
// collective that lacks a rank ends in no other way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/device_group.h"
#include "comm/group_health.h"

namespace lockstep {

class NcclCommunicator;

class NcclWatchdog {
 public:
  // Both must outlive it.
  NcclWatchdog(GroupHealth& health, const DeviceGroupOptions& options);
  ~NcclWatchdog();
  NcclWatchdog(const NcclWatchdog&) = delete;
  NcclWatchdog& operator=(const NcclWatchdog&) = delete;

  void add(NcclCommunicator& communicator);
  // Aborts it, if it has not ended, and returns when nothing of it is used here any more.
  void end(NcclCommunicator& communicator);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    unsigned done = 0, buckets = 0;
    Clock::time_point since;  // no progress
    Clock::time_point asked;  // for a reason to give up
    bool ending = false;      // its owner waits for the abort
    bool aborted = false;
  };

  void run();
  void look();
  void look_at_progress(NcclCommunicator& communicator, Watched& watched, Clock::time_point now);
  std::string behind(unsigned queued) const;
  Error with_reason(const Error& error) const;
  void give_up(const std::string& message) const;
  void abort(const std::vector<NcclCommunicator*>& communicators);

  GroupHealth& health_;
  const DeviceGroupOptions& options_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<NcclCommunicator*, Watched> watched_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace lockstep
