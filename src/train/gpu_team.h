// The GPUs of one training as a team: who sums what with whom, and what that took.
#pragma once

#include "comm/device_group.h"
#include "train/worker.h"

namespace lockstep {

// Null where the run has one GPU or none.
std::unique_ptr<DeviceGroup> make_device_group(Run& run);

// Worker `rank`'s end of it; its GPU becomes the thread's current one. To be made before the
// Worker, whose step uses it to the end.
OwnedDeviceCommunicator join_device_group(Run& run, int rank);

// What the worker's step is told, with its part in the team.
EpochJob shared_job(Worker& worker, DeviceCommunicator& communicator);

// Worker::publish(), and what the step says of its communication.
void publish_shared(Worker& worker);

}  // namespace lockstep
