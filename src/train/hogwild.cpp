#include "backend/relaxed_ops.h"
#include "backend/vector_ops.h"
#include "train/strategies.h"

namespace lockstep {

namespace {

// Hogwild's gradients stay with the worker: nobody is told.
class NoListener final : public GradientListener {
 public:
  void released() override {}
  void ready(Range) override {}
};

SgdForm sgd_form(const OptimizerConfig& optimizer) {
  if (optimizer.nesterov) return SgdForm::nesterov;
  return optimizer.momentum > 0.0 ? SgdForm::momentum : SgdForm::plain;
}

}  // namespace

// Worker r takes the r-th share of each global batch without waiting. A gradient is divided by the
// GLOBAL batch's count and weight decay by W, so that W shares add up to one serial step.
void train_hogwild(Run& run, int rank) {
  Worker worker(run, rank, Weights::own, State::own);
  const std::span<SharedFloats> shared = run.hogwild_values.span();
  const SgdForm form = sgd_form(run.config.optimizer);
  const auto workers = static_cast<float>(worker.size());
  scale(worker.state(), 1.0f / workers);  // a resumed momentum is the sum of the workers'
  NoListener listener;
  double copying = 0.0, updating = 0.0;
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) {
      {
        ScopedSeconds timer(copying, worker.trace(),
                            {.bytes = static_cast<int64_t>(worker.values().size_bytes()),
                             .phase = TracePhase::communication});
        load_relaxed(worker.values(), shared);
      }
      const BatchMetrics metrics = worker.step().gradients(batch->share, listener);
      UpdateScalars scalars = worker.scalars(*batch, batch->count);
      scalars.weight_decay /= workers;
      {
        ScopedSeconds timer(updating, worker.trace(), {.phase = TracePhase::update});
        sgd_relaxed(scalars, form, shared, worker.gradients(), worker.state());
      }
      worker.count(metrics);
    }
    worker.barrier();
    load_relaxed(worker.values(), shared);
    worker.end_epoch();
  }
  // Copying the shared weights is this mode's communication: no collectives, no waiting.
  CommunicationCounters counters;
  counters.communication = copying;
  worker.add_communication(counters);
  worker.add_update(updating);
  worker.publish();
}

}  // namespace lockstep
