// What changes from step to step of a captured graph, in device memory: kernels read it there, so
// that one graph serves every step of its batch size.
//
// One StepState a worker, used by one stream at a time. A step's last kernel advances it and
// reports to the host through pinned mapped memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "lockstep/backend.h"
#include "lockstep/math.h"
#include "lockstep/permutation.h"

namespace lockstep {

// A new one is copied to the device before the first epoch.
struct StepState {
  // Set by start_epoch.
  std::uint32_t epoch = 0;  // keys dropout
  PermutationKeys keys;     // the epoch's order of samples

  std::int64_t batch = 0;  // of the epoch, 0-based
  std::int64_t step = 0;   // since training began, 0-based
  BatchMetrics metrics;    // of the epoch's batches so far

  // The first step whose loss was not finite, or -1. That step and all later ones update nothing.
  std::int64_t first_bad_step = -1;
};

// What a step reports: the epoch's metrics with that step's included.
struct StepRecord {
  std::int64_t step = 0;
  BatchMetrics metrics;
  std::int64_t first_bad_step = -1;
};

// In pinned mapped memory. A step's record is complete once `steps` counts it, and is overwritten
// kRecords steps later: the host keeps fewer steps than that under way.
struct StepReport {
  static constexpr unsigned kRecords = 128;
  unsigned steps = 0;  // steps done; wraps
  StepRecord records[kRecords];

  // Where several workers share their steps (kernels/shared_step.h).
  unsigned buckets = 0;          // of the step under way, those whose gradients have been summed
  float wrong_samples = 0.0F;    // what the shares of the latest wrong step added up to
  std::int64_t wrong_step = -1;  // the latest whose shares did not make up the global batch
  unsigned stop_vote = 0;        // the host's: 1 where this worker is to vote for an end
  unsigned stop_step = 0;        // the first in whose sum somebody did, and 1; wraps; 0: none

  const StepRecord& of(std::int64_t step) const { return records[step % kRecords]; }
};

// `scalars` has one entry for each batch of the epoch, uploaded before its first step.
struct StepPointers {
  StepState* state = nullptr;
  const UpdateScalars* scalars = nullptr;
  StepReport* report = nullptr;  // as the device addresses it; null: nobody is told
};

// Batch `batch` of `epoch` comes next, as step `step`; the epoch's metrics are zero again.
struct EpochStart {
  std::uint32_t epoch = 0;
  PermutationKeys keys = {};
  std::int64_t batch = 0;
  std::int64_t step = 0;
};
void start_epoch(StepState* state, const EpochStart& start, cudaStream_t stream);

// The end of a step: reports it and goes on to the next batch. One thread: a latency, no traffic.
void advance_step(const StepPointers& step, cudaStream_t stream);

}  // namespace lockstep
