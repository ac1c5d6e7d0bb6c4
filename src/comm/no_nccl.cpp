// A build without NCCL: one GPU at most.
#include "comm/device_group.h"

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

std::string nccl_version() {
  return {};
}

}  // namespace lockstep
