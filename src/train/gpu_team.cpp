#include "train/gpu_team.h"

#include <cmath>

namespace lockstep {

namespace {

// Rank 0's, which the other processes hear of.
DeviceGroupId common_id(Run& run) {
  DeviceGroupId id{};
  if (run.processes.rank() == 0) id = new_device_group_id();
  run.processes.broadcast(std::span<char>(id), 0);
  return id;
}

}  // namespace

std::unique_ptr<DeviceGroup> make_device_group(Run& run) {
  if (!run.resolved.device.on_gpu() || run.resolved.workers == 1) return nullptr;
  ProcessGroup& processes = run.processes;
  return make_device_group({.id = common_id(run),
                            .first_rank = run.first_worker,
                            .members = run.local_workers,
                            .world_size = run.resolved.workers,
                            .init_timeout = run.config.init_timeout,
                            .timeout = run.config.comm_timeout,
                            .stopped = [&run] { return run.group.aborted(); },
                            .reason_to_give_up = [&] { return processes.reason_to_give_up(); },
                            .silent_ranks = [&] { return processes.silent_ranks(); }});
}

OwnedDeviceCommunicator join_device_group(Run& run, int rank) {
  const int member = rank - run.first_worker;
  (void)gpu_memory(run.resolved.device.gpus.at(member));  // makes it the current one
  return run.devices->join(member);
}

EpochJob shared_job(Worker& worker, DeviceCommunicator& communicator) {
  const Run& run = worker.run();
  EpochJob job = worker.epoch_job();
  job.rank = worker.rank();
  job.world_size = worker.size();
  job.exchange = {.communicator = &communicator,
                  .of_gradients = run.resolved.strategy == Strategy::sync,
                  .overlap = run.config.overlap == Toggle::on,
                  .ordered = run.config.deterministic,
                  .type = run.config.grad_dtype,
                  .captured = run.local_workers == 1};
  return job;
}

void publish_shared(Worker& worker) {
  worker.publish();
  Run::Measured& measured = worker.run().slots[worker.rank()].measured;
  const StepSeconds seconds = worker.step().seconds();
  const auto known = [](double value) -> std::optional<double> {
    if (std::isnan(value)) return std::nullopt;
    return value;
  };
  measured.seconds.communication = known(seconds.communication);
  measured.seconds.exposed_communication = known(seconds.exposed_communication);
  const CommunicationCounters counters = worker.step().epoch_step()->shared_step()->counters();
  measured.communication.calls = counters.calls;
  measured.communication.bytes = counters.bytes;
  measured.communication.wire_bytes = counters.wire_bytes;
}

}  // namespace lockstep
