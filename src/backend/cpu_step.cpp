#include "backend/cpu_step.h"

#include <algorithm>

#include "backend/gather.h"
#include "backend/vector_ops.h"

namespace lockstep {
namespace {

// Small enough that a slab's gradients are still in the second-level cache when they are applied.
constexpr size_t kDefaultSlabBytes = size_t{128} << 10;

}  // namespace

void PhaseClock::tell(const double& phase, Range parameters, Clock::time_point now) const {
  TraceEvent event{.parameters = parameters};
  if (&phase == &seconds_.data) {
    event.phase = TracePhase::data;
  } else if (&phase == &seconds_.compute) {
    event.phase = part_;
  } else if (&phase == &seconds_.update) {
    event.phase = TracePhase::update;
  } else {
    return;
  }
  trace_->add(event, mark_, now);
}

CpuStep::CpuStep(const ParameterLayout& layout, const StepMemory& memory,
                 const StepOptions& options)
    : layout_(layout),
      clock_(options.trace, seconds_),
      memory_(memory),
      rule_(update_rule(options.optimizer)),
      parts_(std::max(options.accumulate, 1)),
      slab_floats_(slab_floats(options)),
      part_gradients_(parts_ > 1 ? layout.size() : 0) {
  std::fill(memory_.gradients.begin(), memory_.gradients.end(), 0.0f);
}

int64_t CpuStep::part_capacity(const StepOptions& options) {
  const int64_t parts = std::max(options.accumulate, 1);
  return std::max<int64_t>((options.max_batch + parts - 1) / parts, 1);
}

size_t CpuStep::slab_floats(const StepOptions& options) {
  const size_t bytes = options.slab_bytes ? options.slab_bytes : kDefaultSlabBytes;
  return std::max(bytes / kAlignment, size_t{1}) * kPadFloats;
}

size_t CpuStep::workspace_bytes(size_t parameters, const StepOptions& options) {
  return options.accumulate > 1 ? parameters * sizeof(float) : 0;
}

BatchMetrics CpuStep::gradients(const Batch& batch, GradientListener& listener) {
  // What a listener does is not this step's time.
  const auto outside = [this](const auto& call, Range computed = {}) {
    clock_.lap(seconds_.compute, computed);
    call();
    clock_.start();
  };
  return run(
      batch, [&] { outside([&] { listener.released(); }); },
      [&](Range range) {
        // A range that became final at once may be larger than a slab.
        while (!range.empty()) {
          const size_t begin = range.end - std::min(range.size(), slab_floats_);
          const Range slab{begin, range.end};
          outside([&] { listener.ready(slab); }, slab);
          range.end = begin;
        }
      });
}

void CpuStep::update(Range range, const UpdateScalars& scalars) {
  clock_.start();
  apply(range, memory_.gradients.data() + range.begin, scalars);
  clock_.lap(seconds_.update, range);
}

BatchMetrics CpuStep::train(const Batch& batch, const UpdateScalars& scalars) {
  return run(
      batch, [] {},
      [&](Range range) {
        clock_.lap(seconds_.compute, range);
        apply(range, memory_.gradients.data() + range.begin, scalars);
        clock_.lap(seconds_.update, range);
      });
}

BatchMetrics CpuStep::run(const Batch& batch, const std::function<void()>& released,
                          const RangeSink& done) {
  clock_.start();
  float* sums = memory_.gradients.data();
  weights_changed();
  BatchMetrics metrics;
  for (int i = 0; i < parts_; ++i) {
    float* gradients = i == 0 ? sums : part_gradients_.data();
    clock_.computing(TracePhase::propagate, seconds_.compute);
    metrics += propagate(part_of(batch, i, parts_), gradients);
    clock_.computing(TracePhase::backward, seconds_.compute);
    const bool last = i + 1 == parts_;
    if (last) released();
    weight_gradients(gradients, [&](Range range) {
      if (i > 0) {
        add({sums + range.begin, range.size()}, {gradients + range.begin, range.size()});
      }
      if (last) done(range);
    });
  }
  clock_.lap(seconds_.compute);
  return metrics;
}

void CpuStep::apply(Range range, const float* gradients, const UpdateScalars& scalars) {
  float* state = memory_.state.empty() ? nullptr : memory_.state.data() + range.begin;
  const UpdateArrays arrays{memory_.values.data() + range.begin, gradients, state,
                            rule_ == UpdateRule::adam ? state + layout_.size() : nullptr};
  apply_update(rule_, scalars, arrays, range.size());
}

}  // namespace lockstep
