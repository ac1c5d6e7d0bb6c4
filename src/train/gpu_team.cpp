#include "train/gpu_team.h"

#include <fmt/core.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace lockstep {

namespace {

constexpr int kCommunicationFailed = 5;  // the exit code

// The last way out of a library call that does not return.
[[noreturn]] void leave_at_once(const std::string& message) {
  fmt::print(stderr, "error: {}; leaving at once\n", message);
  std::fflush(stderr);
  std::_Exit(kCommunicationFailed);
}

}  // namespace

std::unique_ptr<DeviceGroup> make_device_group(Run& run) {
  if (!run.resolved.device.on_gpu() || run.resolved.workers == 1) return nullptr;
  return make_device_group({.id = new_device_group_id(),
                            .first_rank = run.first_worker,
                            .members = run.local_workers,
                            .world_size = run.resolved.workers,
                            .init_timeout = run.config.init_timeout,
                            .timeout = run.config.comm_timeout,
                            .stopped = [&run] { return run.group.aborted(); },
                            .give_up = leave_at_once});
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
                  .type = run.config.grad_dtype};
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
