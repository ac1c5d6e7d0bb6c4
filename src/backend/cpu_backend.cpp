#include "backend/cpu_step.h"
#include "backend/logistic_step.h"
#include "backend/panel_step.h"
#include "lockstep/backend.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

void check_precision(Precision precision) {
  if (precision == Precision::fp32) return;
  if (precision == Precision::tf32) {
    throw Error(ErrorKind::device, "CPUs have no tf32 arithmetic", "use --precision fp32");
  }
  throw Error(ErrorKind::device, "this version has no bfloat16 kernels for CPUs",
              "use --precision fp32");
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
    return make_panel_step(model, layout, normalization, memory, options);
  }

  size_t workspace_bytes(const Model& model, const StepOptions& options) const override {
    const size_t parts =
        CpuStep::workspace_bytes(static_cast<size_t>(model.parameter_count()), options);
    return parts + (is_logistic(model) ? logistic_step_workspace_bytes(model)
                                       : panel_step_workspace_bytes(model, options));
  }
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<CpuBackend>();
}

}  // namespace lockstep
