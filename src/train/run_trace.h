// What the workers of a training record of some of its steps (--trace), and how that comes together
// on rank 0.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/config.h"
#include "lockstep/process_group.h"
#include "lockstep/trace.h"

namespace lockstep {

// Those that `config` asks for, of the run's steps [first, last): where it names none, ten after
// ten for warming up, or the last ten of a shorter run. `warn` is told of steps that the run does
// not have.
StepRange steps_to_trace(const Config& config, StepRange run,
                         const std::function<void(const std::string&)>& warn);

// How far the clock of each rank's machine is ahead of rank 0's, in nanoseconds.
struct ClockDifference {
  int64_t ahead = 0;
  int64_t error = 0;  // it may be more or less by so much
};
// Of each rank. Collective. Messages go to and fro between rank 0 and every rank on another machine
// a few times: one that left rank 0 by its clock at a and arrived by the other's at b bounds the
// difference by b - a, one that went back bounds it from below; the middle is taken (Cristian 1989,
// "Probabilistic clock synchronization").
// `now` tells this rank's.
std::vector<ClockDifference> measure_clocks(ProcessGroup& processes,
                                            const std::function<int64_t()>& now);

// The recorders of one process's workers.
class RunTrace {
 public:
  // Collective. Worker `first_worker` is the process's first.
  RunTrace(StepRange steps, int first_worker, int workers, ProcessGroup& processes);

  // Of one of the process's workers; for its thread alone.
  TraceRecorder* recorder(int worker) { return recorders_[worker - first_worker_].get(); }

  // Everybody's, on rank 0; on others nothing. Collective, once, when no worker records any more.
  // `gpus` are those of the process's workers; empty: they are on CPUs.
  Trace gather(ProcessGroup& processes, const std::vector<int>& gpus);

 private:
  StepRange steps_;
  int first_worker_;
  std::vector<std::unique_ptr<TraceRecorder>> recorders_;
  std::vector<ClockDifference> clocks_;
};

}  // namespace lockstep
