// The launches of a training's steps: made once for each size of a batch and slot of the feed, then
// repeated.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda_model.h"

namespace lockstep {

class CudaLaunches {
 public:
  virtual ~CudaLaunches() = default;

  // Makes the step over a global batch of `samples` samples, of which `parts` are this worker's, as
  // kernels are told of them in `slot`.
  virtual void capture(int64_t samples, int slot, const std::vector<CudaBatch>& parts) = 0;
  // Makes one more, with marks between its phases.
  virtual void capture_marked(int64_t samples, const std::vector<CudaBatch>& parts) = 0;
  // Whether it was: a step in one kernel has no phases.
  virtual bool has_marked() const = 0;

  // REQUIRES: captured.
  virtual void launch(int64_t samples, int slot) = 0;
  virtual void launch_marked() = 0;
  virtual size_t nodes(int64_t samples, int slot) const = 0;  // of its graphs: kernels

  // Adds the last marked step's phases. REQUIRES: it has ended.
  virtual void add_phases_to(StepSeconds& seconds) const = 0;
  virtual bool has_phase(double StepSeconds::*phase) const = 0;

 protected:
  struct Key {
    int64_t samples;
    int slot;
    auto operator<=>(const Key&) const = default;
  };
};

// A step that needs nobody else: one graph.
std::unique_ptr<CudaLaunches> make_own_launches(CudaModel& model, const StepPointers& step,
                                                cudaStream_t stream);

}  // namespace lockstep
