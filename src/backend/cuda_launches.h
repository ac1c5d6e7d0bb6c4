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

  // Steps of one number of samples: one for each slot; with marks, one for each of its twins that
  // may be under way at once.
  struct Key {
    int64_t samples;
    int slot;
    auto operator<=>(const Key&) const = default;
  };

  // Makes one more, with marks between its phases: `marks` says between which.
  enum class Marks {
    figures,  // those that a result tells of
    trace,    // all parts that can be told apart
  };
  virtual void capture_marked(const Key& twin, Marks marks,
                              const std::vector<CudaBatch>& parts) = 0;
  // Whether it was: a step in one kernel has no figures.
  virtual bool has_marked(const Key& twin) const = 0;

  // REQUIRES: captured.
  virtual void launch(int64_t samples, int slot) = 0;
  virtual void launch_marked(const Key& twin) = 0;
  virtual size_t nodes(int64_t samples, int slot) const = 0;  // of its graphs: kernels

  // Adds the phases of a marked step's last run. REQUIRES: it has ended.
  virtual void add_phases_to(const Key& twin, StepSeconds& seconds) const = 0;
  virtual void add_phases_to(const Key& twin, CudaTimeline& timeline, int64_t step) const = 0;
  virtual bool has_phase(double StepSeconds::*phase) const = 0;
};

// A step that needs nobody else: one graph.
std::unique_ptr<CudaLaunches> make_own_launches(CudaModel& model, const StepPointers& step,
                                                cudaStream_t stream);

}  // namespace lockstep
