// How a training's batches reach a GPU's kernels.
#pragma once

#include <memory>

#include "backend/cuda_data.h"
#include "backend/cuda_phases.h"
#include "lockstep/backend.h"

namespace lockstep {

// A batch lies in a slot while its step runs; a step is captured for one slot. One thread.
class CudaFeed {
 public:
  virtual ~CudaFeed() = default;

  virtual int slots() const = 0;

  // Part `part` of `parts` of batch k in `slot`, as kernels are told of it: the same for every k
  // but that of a shorter last batch.
  virtual CudaBatch part(int slot, int64_t k, int part, int parts) const = 0;

  // What is queued on `stream` from here to end() finds batch k of `epoch` in `slot`. May wait for
  // the slot's step before. Where `marks` is not null and a stream copies the batch, the copy is
  // marked.
  virtual void begin(int slot, uint32_t epoch, int64_t k, CudaPhases* marks,
                     cudaStream_t stream) = 0;
  virtual void end(int slot, cudaStream_t stream) = 0;
};

// From a training part on the device: one slot, nothing is moved, kernels pick the samples.
std::unique_ptr<CudaFeed> make_resident_feed(const EpochJob& job, const CudaData& data);

// From a training part in the host's memory: the host gathers a batch's rows, as they are stored,
// in pinned memory, and a stream of its own copies them while earlier batches are computed.
std::unique_ptr<CudaFeed> make_streamed_feed(const EpochJob& job, const FeatureScale& scale);

}  // namespace lockstep
