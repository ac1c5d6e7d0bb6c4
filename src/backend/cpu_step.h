// What every compiled CPU step shares: parts (accumulation), the order of reports, the optimizer
// and the clock. Derived classes compute.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "backend/optimizer_ops.h"
#include "lockstep/backend.h"
#include "lockstep/buffer.h"

namespace lockstep {

// Attributes wall time to the phases of a step: each lap ends one.
class PhaseClock {
 public:
  // Laps of the phases of `seconds` are also told to `trace`, where not null. Both must outlive it.
  PhaseClock(TraceRecorder* trace, const StepSeconds& seconds) : trace_(trace), seconds_(seconds) {}

  void start() { mark_ = Clock::now(); }
  // `parameters`: of which it was, for the trace.
  void lap(double& phase, Range parameters = {}) {
    const Clock::time_point now = Clock::now();
    phase += std::chrono::duration<double>(now - mark_).count();
    if (trace_) tell(phase, parameters, now);
    mark_ = now;
  }
  // What compute is from here on: for the trace, which is told of what it was so far.
  void computing(TracePhase part, double& compute) {
    if (!trace_) return;
    lap(compute);
    part_ = part;
  }

 private:
  using Clock = std::chrono::steady_clock;
  void tell(const double& phase, Range parameters, Clock::time_point now) const;

  TraceRecorder* trace_;
  const StepSeconds& seconds_;
  TracePhase part_ = TracePhase::gradients;
  Clock::time_point mark_ = Clock::now();
};

class CpuStep : public Step {
 public:
  CpuStep(const ParameterLayout& layout, const StepMemory& memory, const StepOptions& options);

  BatchMetrics gradients(const Batch& batch, GradientListener& listener) final;
  void update(Range range, const UpdateScalars& scalars) final;
  BatchMetrics train(const Batch& batch, const UpdateScalars& scalars) override;
  StepSeconds seconds() const final { return seconds_; }
  void reset_seconds() final { seconds_ = {}; }

  // The largest part that max_batch samples are cut into.
  static int64_t part_capacity(const StepOptions& options);
  // Floats of a slab: options.slab_bytes, or the default.
  static size_t slab_floats(const StepOptions& options);
  // Bytes that this class allocates for `parameters` floats.
  static size_t workspace_bytes(size_t parameters, const StepOptions& options);

 protected:
  using RangeSink = std::function<void(Range)>;

  // The weights may differ from those of the last call: once before the parts of a batch, for steps
  // that keep them in another form.
  virtual void weights_changed() {}
  // Forward, loss and input gradients of a part of at most part_capacity() samples, maybe none.
  // Reads the weights; afterwards nothing of this step does. `gradients` is the flat buffer that
  // weight_gradients() will be asked to fill, for steps that know their gradient already.
  virtual BatchMetrics propagate(const Batch& part, float* gradients) = 0;
  // Writes the sums over the last propagated part to the flat buffer `gradients`, padding excepted
  // (it stays zero). Calls done(range) whenever another range is final: descending, adjacent, cut
  // at multiples of kPadFloats, from the layout's end to its start.
  virtual void weight_gradients(float* gradients, const RangeSink& done) = 0;

  const float* values(size_t offset) const { return memory_.values.data() + offset; }
  int parts() const { return parts_; }
  // The optimizer over any range of the weights, from gradients [range.size()]. This one may run on
  // several threads at once, for ranges that do not overlap.
  virtual void apply(Range range, const float* gradients, const UpdateScalars& scalars);

  const ParameterLayout& layout_;
  StepSeconds seconds_;
  PhaseClock clock_;

 private:
  // All parts of a batch; done(range) when the sums over all of them are final.
  BatchMetrics run(const Batch& batch, const std::function<void()>& released,
                   const RangeSink& done);
  StepMemory memory_;
  UpdateRule rule_;
  int parts_;
  size_t slab_floats_;
  Buffer<float> part_gradients_;  // of the second part and later ones
};

}  // namespace lockstep
