// A thread that looks at the communicators of a process: errors that NCCL reports late, workers
// that stop, steps that make no progress until the deadline. Where one fails it aborts all, since a
// collective that lacks a rank ends in no other way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/group_health.h"

namespace lockstep {

class NcclCommunicator;

class NcclWatchdog {
 public:
  // `timeout` in seconds. `give_up`: see DeviceGroupOptions. `health` must outlive it.
  NcclWatchdog(GroupHealth& health, double timeout,
               std::function<void(const std::string&)> give_up);
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
    bool ending = false;      // its owner waits for the abort
    bool aborted = false;
  };

  void run();
  void look();
  void look_at_progress(NcclCommunicator& communicator, Watched& watched, Clock::time_point now);
  std::string behind(unsigned queued) const;
  void abort(const std::vector<NcclCommunicator*>& communicators);

  GroupHealth& health_;
  std::chrono::duration<double> timeout_;
  std::function<void(const std::string&)> give_up_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<NcclCommunicator*, Watched> watched_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace lockstep
