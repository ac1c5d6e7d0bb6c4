#include "backend/bf16_step.h"
#include "backend/conv_step.h"
#include "backend/cpu_step.h"
#include "backend/logistic_step.h"
#include "backend/panel_step.h"
#include "backend/threaded_step.h"
#include "lockstep/backend.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

void check_precision(Precision precision) {
  if (precision == Precision::tf32) {
    throw Error(ErrorKind::device, "CPUs have no tf32 arithmetic", "use --precision fp32");
  }
}

class CpuBackend final : public Backend {
 public:
  std::unique_ptr<Step> compile(const Model& model, const ParameterLayout& layout,
                                const Normalization& normalization, const StepMemory& memory,
                                const StepOptions& options) override {
    check_precision(options.precision);
    if (is_logistic(model)) {
      return make_logistic_step(model, layout, normalization, memory, options);
    }
    if (model.convolutional()) {
      return make_conv_step(model, layout, normalization, memory, options);
    }
    if (options.precision == Precision::bf16) {
      return make_bf16_step(model, layout, normalization, memory, options);
    }
    if (options.threads > 1) {
      return make_threaded_step(model, layout, normalization, memory, options);
    }
    return make_panel_step(model, layout, normalization, memory, options);
  }

  // Panel steps apply a slab's gradient from memory of their own.
  bool train_needs_gradients(const Model& model, const StepOptions& options) const override {
    return options.accumulate > 1 || options.precision == Precision::bf16 || is_logistic(model) ||
           model.convolutional();
  }

  size_t workspace_bytes(const Model& model, const ParameterLayout& layout,
                         const StepOptions& options) const override {
    const size_t parts =
        CpuStep::workspace_bytes(static_cast<size_t>(model.parameter_count()), options);
    if (is_logistic(model)) return parts + logistic_step_workspace_bytes(model, options);
    if (model.convolutional()) return parts + conv_step_workspace_bytes(model, layout, options);
    if (options.precision == Precision::bf16) {
      return parts + bf16_step_workspace_bytes(model, options);
    }
    return parts + (options.threads > 1 ? threaded_step_workspace_bytes(model, layout, options)
                                        : panel_step_workspace_bytes(model, layout, options));
  }
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<CpuBackend>();
}

}  // namespace lockstep
