#include "backend/threaded_step.h"

#include <algorithm>
#include <vector>

#include "backend/cpu_step.h"
#include "backend/gather.h"
#include "backend/panel.h"
#include "backend/panel_step.h"
#include "backend/thread_team.h"

namespace lockstep {
namespace {

// Shares are cut where half panels end: less than that takes as long as that.
constexpr int64_t kCut = kPanelSamples / 2;

IndexRange samples_of(int64_t samples, int thread, int threads) {
  const IndexRange halves = share_of({0, (samples + kCut - 1) / kCut}, thread, threads);
  return {std::min(halves.begin * kCut, samples), std::min(halves.end * kCut, samples)};
}

// What one thread's step is compiled for.
StepOptions thread_options(const StepOptions& options) {
  StepOptions own = options;
  const int64_t halves = (CpuStep::part_capacity(options) + kCut - 1) / kCut;
  own.max_batch = (halves + options.threads - 1) / options.threads * kCut;
  own.accumulate = 1;
  own.threads = 1;
  own.trace = nullptr;
  return own;
}

class ThreadedStep final : public CpuStep {
 public:
  ThreadedStep(const Model& model, const ParameterLayout& layout,
               const Normalization& normalization, const StepMemory& memory,
               const StepOptions& options)
      : CpuStep(layout, memory, options),
        steps_(options.threads),
        shared_(options.threads),
        factors_(options.threads),
        metrics_(options.threads),
        team_(options.threads, options.spins, options.thread_start) {
    team_.run([&](int thread) {
      StepOptions own = thread_options(options);
      if (thread == 0) own.trace = options.trace;  // the worker's own, which stands for all
      steps_[thread] =
          make_panel_step(model, layout, normalization, {memory.values, {}, memory.state}, own);
      factors_[thread] = shared_[thread] = shared_panel_step(*steps_[thread]);
    });
  }

  BatchMetrics train(const Batch& batch, const UpdateScalars& scalars) override {
    if (parts() > 1) return CpuStep::train(batch, scalars);
    clock_.start();
    const BatchMetrics metrics = propagate(batch, nullptr);
    together([&](int thread) {
      shared_[thread]->update_from_factors(factors_, thread, ShareSum::chain, scalars);
    });
    return metrics;
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const int64_t outputs =
        batch.size() == 0 ? 0 : static_cast<int64_t>(logits.size()) / batch.size();
    team_.run([&](int thread) {
      const IndexRange own = samples_of(batch.size(), thread, team_.size());
      metrics_[thread] = steps_[thread]->evaluate(
          slice_of_batch(batch, own.begin, own.size()),
          logits.empty() ? logits : logits.subspan(own.begin * outputs, own.size() * outputs));
    });
    return sum_of_metrics();
  }

 protected:
  BatchMetrics propagate(const Batch& part, float*) override {
    together([&](int thread) {
      const IndexRange own = samples_of(part.size(), thread, team_.size());
      metrics_[thread] =
          shared_[thread]->compute_factors(slice_of_batch(part, own.begin, own.size()));
    });
    return sum_of_metrics();
  }

  // Piece by piece, so that the caller can report each.
  void weight_gradients(float* gradients, const RangeSink& done) override {
    const SharedPanelStep& any = *shared_[0];
    for (size_t piece = 0; piece < any.pieces(); ++piece) {
      team_.run(
          [&](int thread) { shared_[thread]->piece_gradient(piece, factors_, thread, gradients); });
      if (!any.piece_range(piece).empty()) done(any.piece_range(piece));
    }
  }

  void apply(Range range, const float* gradients, const UpdateScalars& scalars) override {
    // Less than this takes as long as a meeting of the threads.
    constexpr size_t kLeast = 8192;
    if (range.size() < kLeast) return CpuStep::apply(range, gradients, scalars);
    const auto blocks = static_cast<int64_t>((range.size() + kPadFloats - 1) / kPadFloats);
    team_.run([&](int thread) {
      const IndexRange own = share_of({0, blocks}, thread, team_.size());
      const size_t begin = own.begin * kPadFloats;
      const size_t end = std::min(own.end * kPadFloats, range.size());
      CpuStep::apply({range.begin + begin, range.begin + end}, gradients + begin, scalars);
    });
  }

 private:
  // A job whose time is the calling thread's own, and waiting for the others compute.
  template <class Job>
  void together(const Job& job) {
    clock_.lap(seconds_.compute);
    steps_[0]->reset_seconds();
    double elapsed = 0.0;
    team_.run(job);
    clock_.lap(elapsed);
    const StepSeconds own = steps_[0]->seconds();
    seconds_.data += own.data;
    seconds_.update += own.update;
    seconds_.compute += elapsed - own.data - own.update;
  }

  BatchMetrics sum_of_metrics() const {
    BatchMetrics sum;
    for (const BatchMetrics& metrics : metrics_) sum += metrics;
    return sum;
  }

  // One a thread.
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<SharedPanelStep*> shared_;
  std::vector<FactorStep*> factors_;
  std::vector<BatchMetrics> metrics_;
  ThreadTeam team_;  // ends first
};

}  // namespace

std::unique_ptr<Step> make_threaded_step(const Model& model, const ParameterLayout& layout,
                                         const Normalization& normalization,
                                         const StepMemory& memory, const StepOptions& options) {
  return std::make_unique<ThreadedStep>(model, layout, normalization, memory, options);
}

size_t threaded_step_workspace_bytes(const Model& model, const ParameterLayout& layout,
                                     const StepOptions& options) {
  return options.threads * panel_step_workspace_bytes(model, layout, thread_options(options));
}

}  // namespace lockstep
