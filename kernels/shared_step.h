// A step whose gradients are the sums of several workers': what travels with the gradients, and the
// update that follows the sum.
//
// Behind the gradients lies the tail, which is summed as they are: samples, losses that are not
// finite, and votes to stop. So every worker stops at the same step, whoever saw the bad loss or
// the signal, and a worker whose job differs from the others' is found out by the number of
// samples.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/optimizer.h"

namespace lockstep {

// Floats of the tail, a whole 128-byte block.
inline constexpr std::size_t kTailFloats = kPadFloats;

// A batch of more samples than this is not counted exactly in float32.
inline constexpr std::int64_t kExactCount = std::int64_t{1} << 24;

// After the loss of a share of `rows` samples is known.
void write_tail(float* tail, std::int64_t rows, const StepPointers& step, cudaStream_t stream);

// Between steps that each worker does alone: what the summed tail says of stopping, as of the step
// that comes next.
void report_votes(const StepPointers& step, const float* tail, cudaStream_t stream);

// A bucket of gradients that has been summed over all workers.
struct ReducedBucket {
  const float* tail = nullptr;  // summed too
  unsigned number = 0;          // in the order of the buckets
};

// update(), but that nothing changes where the summed tail tells of a loss that is not finite.
// Reports that the bucket is reduced.
void update_reduced(UpdateRule rule, Range range, const ParameterPointers& parameters,
                    const StepPointers& step, const ReducedBucket& bucket, cudaStream_t stream);

// advance_step(), with what the summed tail says. The samples must be `global_batch`.
void advance_shared_step(const StepPointers& step, const float* tail, std::int64_t global_batch,
                         cudaStream_t stream);

}  // namespace lockstep
