// The GPUs of one job as a group, made once a training: NCCL's, or none in a build without it.
//
// Members are this process's workers, one GPU each; a group may span processes, which hand round
// its id (MPI, or NCCL's own bootstrap).
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lockstep/backend.h"
#include "lockstep/error.h"

namespace lockstep {

// What ranks need to find each other. Made by one of them, the same for all.
using DeviceGroupId = std::array<char, 128>;
DeviceGroupId new_device_group_id();

struct DeviceGroupOptions {
  DeviceGroupId id = {};
  int first_rank = 0;  // of this process's members, which are consecutive
  int members = 1;
  int world_size = 1;
  double init_timeout = 120.0;  // seconds that ranks may take to arrive
  double timeout = 60.0;        // seconds without progress of a step
  // Whether the workers of this process are to stop, for a reason that is not the group's.
  std::function<bool()> stopped = {};
  // Of the group's other processes, while this one waits for them: why it should wait no longer,
  // and, at the deadline, who is silent. May be empty.
  std::function<std::optional<std::string>()> reason_to_give_up = {};
  std::function<std::string()> silent_ranks = {};
  // Called, on a thread of the group, where communication that has failed cannot even be ended:
  // the process has to go, and this must not return. Empty: says so and ends it with exit code 5.
  std::function<void(const std::string& message)> give_up = {};
  std::string meeting_place = {};  // "10.0.0.1:29501", where the id names one
};

// A member's end of the group, ended with its peers.
struct EndDeviceCommunicator {
  void operator()(DeviceCommunicator* communicator) const;
};
using OwnedDeviceCommunicator = std::unique_ptr<DeviceCommunicator, EndDeviceCommunicator>;

// One a process. Watches over its members from a thread of its own: where one of them, or its
// communication, fails or makes no progress, it aborts them all.
class DeviceGroup {
 public:
  virtual ~DeviceGroup() = default;

  // Member `member`'s communicator, once all ranks are there. On that member's thread, with its GPU
  // as the current one. Throws Error (communication) at the deadline, naming the ranks that did
  // not come as far as that is known here; PeerAborted where the run was stopped. The group must
  // outlive it.
  virtual OwnedDeviceCommunicator join(int member) = 0;
};

// Throws Error (device) in a build without NCCL.
std::unique_ptr<DeviceGroup> make_device_group(DeviceGroupOptions options);

// "2.28.9": what runs; empty in a build without NCCL.
std::string nccl_version();

}  // namespace lockstep
