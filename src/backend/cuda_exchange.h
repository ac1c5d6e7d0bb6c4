// The buckets of gradients of one step on their way to the other workers and back.
#pragma once

#include <cuda_bf16.h>

#include <memory>
#include <vector>

#include "backend/cuda_collectives.h"
#include "backend/cuda_memory.h"
#include "backend/cuda_phases.h"
#include "backend/gradient_segments.h"
#include "kernels/fold_gradients.h"
#include "lockstep/backend.h"

namespace lockstep {

// Which workers have a share of a global batch of so many samples.
PresentRanks present_ranks(int64_t global_batch, int world_size);

// For one way of cutting gradients into buckets. Nothing here waits for the device.
class CudaExchange {
 public:
  // `gradients` of `floats` floats, and behind them the tail of kernels/shared_step.h, which goes
  // with the first bucket.
  CudaExchange(const DeviceExchange& how, const std::vector<GradientSegment>& segments,
               float* gradients, size_t floats);

  size_t buckets() const { return buckets_.size(); }

  // What `compute` has queued so far completes bucket b: its sum over all workers is queued in the
  // communicator's stream behind it. `marks`, where not null, are of that stream.
  void begin(size_t b, const PresentRanks& present, CudaPhases* marks, cudaStream_t compute);
  // What `compute` queues from here on finds the sum.
  void finish(size_t b, cudaStream_t compute) const;

  // Of one step.
  CommunicationCounters counters() const;

 private:
  struct Bucket {
    std::vector<Range> ranges;
    Event ready;    // gradients are computed
    Event reduced;  // and summed
  };
  size_t scratch_floats() const;
  int64_t bytes_of(const Bucket& bucket) const;
  TraceEvent event_of(size_t b) const;
  void reduce(const Bucket& bucket) const;
  void reduce_in_bf16(const Bucket& bucket) const;
  void reduce_in_order(const Bucket& bucket, const PresentRanks& present) const;

  DeviceExchange how_;
  DeviceCommunicator& communicator_;
  float* gradients_;
  size_t floats_;
  std::vector<std::unique_ptr<Bucket>> buckets_;
  DeviceArray<float> received_;         // ordered: the others' slices
  DeviceArray<__nv_bfloat16> rounded_;  // bf16: a bucket
};

}  // namespace lockstep
