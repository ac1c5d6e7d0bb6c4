#include "train/run_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

namespace lockstep {

namespace {

constexpr int64_t kWarmUp = 10, kSteps = 10;
constexpr int kRounds = 8;  // of messages between two clocks

static_assert(std::is_trivially_copyable_v<TraceEvent>);

int64_t steady_clock() {
  return TraceRecorder::nanoseconds(TraceRecorder::Clock::now());
}

StepRange default_steps(StepRange run) {
  const StepRange usual{run.begin + kWarmUp, run.begin + kWarmUp + kSteps};
  if (usual.end <= run.end) return usual;
  return {std::max(run.begin, run.end - kSteps), run.end};
}

// What a rank sends of one worker, in front of its events.
struct Head {
  int32_t gpu = -1;
  int32_t cut = 0;
  int64_t events = 0;
};

template <class T>
void append(std::string& bytes, const T* values, size_t count) {
  if (count == 0) return;  // of an empty vector `values` may be null
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <class T>
void take(const std::string& bytes, size_t& at, T* values, size_t count) {
  if (count == 0) return;
  std::memcpy(static_cast<void*>(values), bytes.data() + at, count * sizeof(T));
  at += count * sizeof(T);
}

void add_workers(Trace& trace, int rank, const std::string& bytes, int64_t clock_ahead) {
  for (size_t at = 0; at < bytes.size();) {
    Head head;
    take(bytes, at, &head, 1);
    Trace::Worker worker{.process = rank, .gpu = head.gpu, .events = {}, .cut = head.cut != 0};
    worker.events.resize(static_cast<size_t>(head.events));
    take(bytes, at, worker.events.data(), worker.events.size());
    for (TraceEvent& event : worker.events) {
      event.begin -= clock_ahead;
      event.end -= clock_ahead;
    }
    trace.workers.push_back(std::move(worker));
  }
}

}  // namespace

StepRange steps_to_trace(const Config& config, StepRange run,
                         const std::function<void(const std::string&)>& warn) {
  if (!config.trace_steps) return default_steps(run);
  const StepRange asked = *config.trace_steps;
  const StepRange there{std::max(asked.begin, run.begin), std::min(asked.end, run.end)};
  if (there != asked && warn) {
    warn(fmt::format("--trace-steps {}:{}: this run has the steps {}:{}, {}", asked.begin,
                     asked.end, run.begin, run.end,
                     there.empty() ? "and none of those: the trace will be empty"
                                   : "the others are not in the trace"));
  }
  return there;
}

std::vector<ClockDifference> measure_clocks(ProcessGroup& processes,
                                            const std::function<int64_t()>& now) {
  std::vector<ClockDifference> clocks(static_cast<size_t>(processes.size()));
  const int own_machine = processes.place(0).machine;
  for (int rank = 1; rank < processes.size(); ++rank) {
    if (processes.place(rank).machine == own_machine) continue;
    int64_t most = std::numeric_limits<int64_t>::max();
    int64_t least = std::numeric_limits<int64_t>::min();
    for (int round = 0; round < kRounds; ++round) {
      int64_t left_first = now();
      processes.broadcast(std::span(&left_first, 1), 0);
      int64_t at_other[] = {now(), now()};  // it arrived there, and the next one leaves
      processes.broadcast(std::span<int64_t>(at_other), rank);
      int64_t came_back = now();
      processes.broadcast(std::span(&came_back, 1), 0);
      most = std::min(most, at_other[0] - left_first);
      least = std::max(least, at_other[1] - came_back);
    }
    clocks[static_cast<size_t>(rank)] = {.ahead = least + (most - least) / 2,
                                         .error = (most - least + 1) / 2};
  }
  return clocks;
}

RunTrace::RunTrace(StepRange steps, int first_worker, int workers, ProcessGroup& processes)
    : steps_(steps), first_worker_(first_worker), clocks_(measure_clocks(processes, steady_clock)) {
  for (int i = 0; i < workers; ++i) recorders_.push_back(std::make_unique<TraceRecorder>(steps));
}

Trace RunTrace::gather(ProcessGroup& processes, const std::vector<int>& gpus) {
  std::string own;
  for (size_t i = 0; i < recorders_.size(); ++i) {
    const std::vector<TraceEvent> events = recorders_[i]->take();
    const Head head{.gpu = gpus.empty() ? -1 : gpus.at(i),
                    .cut = recorders_[i]->cut() ? 1 : 0,
                    .events = static_cast<int64_t>(events.size())};
    append(own, &head, 1);
    append(own, events.data(), events.size());
  }
  const std::vector<std::string> all = processes.all_gather_text(own);
  Trace trace;
  trace.steps = steps_;
  if (processes.rank() != 0) return trace;
  for (int rank = 0; rank < processes.size(); ++rank) {
    const Place& place = processes.place(rank);
    const ClockDifference& clock = clocks_[static_cast<size_t>(rank)];
    trace.processes.push_back({.host = place.host,
                               .pid = place.pid,
                               .clock_ahead = clock.ahead,
                               .clock_error = clock.error,
                               .own_clock = place.machine != processes.place(0).machine});
    add_workers(trace, rank, all[static_cast<size_t>(rank)], clock.ahead);
  }
  return trace;
}

}  // namespace lockstep
