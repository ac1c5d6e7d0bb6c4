#include "backend/logistic_step.h"

#include <vector>

#include "backend/cpu_step.h"
#include "backend/logistic.h"
#include "backend/thread_team.h"
#include "backend/vector_ops.h"

namespace lockstep {
namespace {

class LogisticStep final : public CpuStep {
 public:
  LogisticStep(const Model& model, const ParameterLayout& layout,
               const Normalization& normalization, const StepMemory& memory,
               const StepOptions& options)
      : CpuStep(layout, memory, options),
        scaling_(normalization, model.inputs),
        weight_(layout.weight(0)),
        bias_(layout.bias(0)),
        threads_(options.threads),
        team_(options.threads, options.spins, options.thread_start) {
    team_.run([&](int thread) {
      threads_[thread] =
          std::make_unique<Thread>(scaling_, model.inputs, thread > 0 ? layout.size() : 0);
    });
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    return over_shares(batch, [&](Thread& thread, int, const Batch& share, int64_t first) {
      return thread.pass.evaluate(share, values(weight_.offset), *values(bias_.offset),
                                  logits.empty() ? nullptr : logits.data() + first);
    });
  }

 protected:
  // The first thread's sums go where the total belongs.
  BatchMetrics propagate(const Batch& part, float* gradients) override {
    const BatchMetrics metrics =
        over_shares(part, [&](Thread& thread, int rank, const Batch& share, int64_t) {
          float* const sums = rank == 0 ? gradients : thread.sums.data();
          return thread.pass.gradient(share, values(weight_.offset), *values(bias_.offset),
                                      sums + weight_.offset, sums + bias_.offset);
        });
    for (size_t i = 1; i < threads_.size(); ++i) {
      const float* const sums = threads_[i]->sums.data();
      add({gradients + weight_.offset, weight_.size}, {sums + weight_.offset, weight_.size});
      gradients[bias_.offset] += sums[bias_.offset];
    }
    return metrics;
  }

  void weight_gradients(float*, const RangeSink& done) override {
    done(bias_.range());
    done(weight_.range());
  }

 private:
  // Each thread allocates its own.
  struct Thread {
    Thread(const FeatureScaling& scaling, int64_t columns, size_t parameters)
        : pass(scaling, columns), sums(parameters) {}
    LogisticPass pass;
    Buffer<float> sums;  // of its share, as the flat gradient buffer; the first thread's is empty
    BatchMetrics metrics;
  };

  // pass(thread, its rank, its share of the batch, the share's first sample) on every thread.
  template <class Pass>
  BatchMetrics over_shares(const Batch& batch, const Pass& pass) {
    team_.run([&](int rank) {
      const IndexRange own = share_of({0, batch.size()}, rank, team_.size());
      const Batch share = slice_of_batch(batch, own.begin, own.size());
      threads_[rank]->metrics = pass(*threads_[rank], rank, share, own.begin);
    });
    BatchMetrics sum;
    for (const auto& thread : threads_) sum += thread->metrics;
    return sum;
  }

  FeatureScaling scaling_;
  const TensorSpec& weight_;
  const TensorSpec& bias_;
  std::vector<std::unique_ptr<Thread>> threads_;
  ThreadTeam team_;  // ends first
};

}  // namespace

bool is_logistic(const Model& model) {
  if (model.layers.size() != 1 || model.loss != Loss::binary_cross_entropy) return false;
  const auto* linear = std::get_if<Linear>(&model.layers[0]);
  return linear && linear->outputs == 1 && linear->activation == Activation::none;
}

std::unique_ptr<Step> make_logistic_step(const Model& model, const ParameterLayout& layout,
                                         const Normalization& normalization,
                                         const StepMemory& memory, const StepOptions& options) {
  return std::make_unique<LogisticStep>(model, layout, normalization, memory, options);
}

size_t logistic_step_workspace_bytes(const Model& model, const StepOptions& options) {
  const int64_t scaling = 2 * padded(model.inputs);
  const int64_t folded = options.threads * padded(model.inputs);
  const int64_t sums = (options.threads - 1) * (padded(model.inputs) + padded(1));
  return (scaling + folded + sums) * sizeof(float);
}

}  // namespace lockstep
