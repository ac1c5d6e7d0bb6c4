#include "train/job_memory.h"

#include <fmt/format.h>

#include "lockstep/error.h"
#include "train/stop_gate.h"

namespace lockstep {

namespace {

constexpr size_t round_up(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Arrays a worker and its rounding: values, gradients with their tail, states.
constexpr size_t kMostArrays = 8;

}  // namespace

// Every rank's segment begins with its workers' arrays; behind them, in rank 0's alone in use, the
// counters, the gate and what all share.
JobMemory::JobMemory(const Resolved& resolved, size_t floats_each, size_t floats_shared)
    : processes_(*resolved.processes),
      workers_(resolved.workers),
      local_workers_(resolved.config.workers) {
  if (resolved.ranks == 1) return;
  reach_ = Reach::messages;
  if (resolved.device.on_gpu() || resolved.config.mpi_transport == MpiTransport::messages) return;
  const size_t own = static_cast<size_t>(local_workers_) *
                     (round_up(floats_each * sizeof(float)) + kMostArrays * kAlignment);
  const size_t counters = round_up(ThreadGroup::bytes_of(workers_));
  const size_t gate = round_up(StopGate::bytes_of(workers_));
  shared_begin_ = own + counters + gate;
  std::string why;
  memory_ = processes_.share_memory(
      shared_begin_ + round_up(floats_shared * sizeof(float)) + kMostArrays * kAlignment, why);
  if (memory_) {
    reach_ = Reach::machine;
    const std::span<std::byte> first = memory_->segment(0);
    counters_ = first.subspan(own, counters);
    gate_ = first.subspan(own + counters, gate);
    used_shared_ = shared_begin_;
    return;
  }
  if (resolved.config.mpi_transport == MpiTransport::shared) {
    throw AgreedFailure{
        Error(ErrorKind::communication, fmt::format("--mpi-transport shared: {}", why),
              "use --mpi-transport auto"),
        0};
  }
  if (processes_.neighbours().size() == static_cast<size_t>(processes_.size())) note_ = why;
}

std::span<std::byte> JobMemory::take(size_t& used, std::span<std::byte> segment, size_t bytes) {
  const std::span<std::byte> taken = segment.subspan(used, bytes);
  used += round_up(bytes);
  return taken;
}

Floats JobMemory::allocate(size_t floats) {
  if (!memory_) return Floats(floats);
  const std::lock_guard lock(mutex_);
  const auto bytes = take(used_, memory_->segment(processes_.rank()), floats * sizeof(float));
  return Floats({reinterpret_cast<float*>(bytes.data()), floats});
}

Floats JobMemory::allocate_shared(size_t floats) {
  if (!memory_) return Floats(floats);
  const std::lock_guard lock(mutex_);
  const auto bytes = take(used_shared_, memory_->segment(0), floats * sizeof(float));
  return Floats({reinterpret_cast<float*>(bytes.data()), floats});
}

ThreadGroup::Shared JobMemory::group_memory() const {
  ThreadGroup::Shared shared;
  shared.counters = counters_;
  for (int worker = 0; worker < workers_; ++worker) {
    const int rank = worker / local_workers_;
    shared.bases.push_back(memory_->segment(rank));
  }
  shared.name = [&processes = processes_, each = local_workers_](int worker) {
    const std::string rank = processes.describe(worker / each);
    return each == 1 ? rank : fmt::format("worker {} of {}", worker, rank);
  };
  shared.reason_to_give_up = [&processes = processes_] { return processes.reason_to_give_up(); };
  return shared;
}

std::span<std::byte> JobMemory::gate_memory() const {
  return gate_;
}

}  // namespace lockstep
