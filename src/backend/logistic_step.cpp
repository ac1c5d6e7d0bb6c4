#include "backend/logistic_step.h"

#include "backend/cpu_step.h"
#include "backend/logistic.h"

namespace lockstep {
namespace {

class LogisticStep final : public CpuStep {
 public:
  LogisticStep(const Model& model, const ParameterLayout& layout,
               const Normalization& normalization, const StepMemory& memory,
               const StepOptions& options)
      : CpuStep(layout, memory, options),
        scaling_(normalization, model.inputs),
        pass_(scaling_, model.inputs),
        weight_(layout.weight(0)),
        bias_(layout.bias(0)) {}

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    return pass_.evaluate(batch, values(weight_.offset), *values(bias_.offset),
                          logits.empty() ? nullptr : logits.data());
  }

 protected:
  BatchMetrics propagate(const Batch& part, float* gradients) override {
    return pass_.gradient(part, values(weight_.offset), *values(bias_.offset),
                          gradients + weight_.offset, gradients + bias_.offset);
  }

  void weight_gradients(float*, const RangeSink& done) override {
    done(bias_.range());
    done(weight_.range());
  }

 private:
  FeatureScaling scaling_;
  LogisticPass pass_;
  const TensorSpec& weight_;
  const TensorSpec& bias_;
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

size_t logistic_step_workspace_bytes(const Model& model) {
  return 3 * padded(model.inputs) * sizeof(float);
}

}  // namespace lockstep
