// A build without NCCL: one GPU at most.
#include <fmt/format.h>

#include "comm/device_group.h"
#include "comm/launched.h"

namespace lockstep {

namespace {

Error not_built() {
  return {ErrorKind::device, "several GPUs: this build has no NCCL",
          "install NCCL (libnccl-dev, or `pip install nvidia-nccl-cu12`) and build again: cmake "
          "says where it looked; or train on one GPU"};
}

}  // namespace

// Nobody has any.
void EndDeviceCommunicator::operator()(DeviceCommunicator*) const {}

DeviceGroupId new_device_group_id() {
  throw not_built();
}

std::unique_ptr<DeviceGroup> make_device_group(DeviceGroupOptions) {
  throw not_built();
}

std::unique_ptr<ProcessGroup> join_by_nccl(const Launch& launch, const JoinOptions&) {
  throw Error(ErrorKind::usage,
              fmt::format("{} started {} processes, and this build has no NCCL to connect them: "
                          "each would train alone",
                          launch.launcher, launch.size),
              fmt::format("on CPUs use mpirun -n {} lockstep ...; for GPUs install NCCL "
                          "(libnccl-dev) and build again",
                          launch.size));
}

std::string nccl_version() {
  return {};
}

}  // namespace lockstep
