#include "backend/cuda_cost.h"

#include <algorithm>

#include "backend/logistic_step.h"
#include "backend/mlp_plan.h"
#include "kernels/logistic.h"

namespace lockstep {

namespace {

constexpr double kFloat = sizeof(float);

class Counter {
 public:
  void kernel(double floats_read, double floats_written, double flop = 0.0) {
    cost.bytes_read += kFloat * floats_read;
    cost.bytes_written += kFloat * floats_written;
    cost.flop += flop;
  }
  StepCost cost;
};

// Gather, forward, loss, backward, as CudaNetwork launches them.
void count_network(const MlpPlan& plan, double rows, double feature_bytes, GradientPlace gradients,
                   Counter& counter) {
  const auto inputs = static_cast<double>(plan.stages.front().inputs);
  const auto classes = static_cast<double>(plan.stages.back().outputs);
  counter.cost.bytes_read += rows * inputs * feature_bytes;
  counter.kernel(rows, rows * (inputs + 3));  // label; row, label, 64-bit index
  for (const LinearStage& stage : plan.stages) {
    const auto in = static_cast<double>(stage.inputs), out = static_cast<double>(stage.outputs);
    const double weight = in * out, flop = 2.0 * rows * weight;
    const double stored = gradients == GradientPlace::memory ? weight + out : 0.0;
    counter.kernel(rows * in + weight + out, rows * out, flop);  // forward
    counter.kernel(rows * (in + out), stored, flop);             // weight gradient
    if (&stage == &plan.stages.front()) continue;
    counter.kernel(rows * (out + in) + weight, rows * in, flop);  // input gradient
  }
  counter.kernel(rows * (classes + 1), rows * classes);  // loss
}

}  // namespace

StepCost cuda_step_cost(const Model& model, const ParameterLayout& layout,
                        const StepOptions& options, int64_t rows, FeatureType features,
                        GradientPlace gradients) {
  const auto samples = static_cast<double>(rows);
  const auto parameters = static_cast<double>(layout.size());
  const int states = options.optimizer.state_count();
  const auto feature_bytes = static_cast<double>(bytes_of(features));
  const bool one_pass = is_logistic(model) && model.inputs <= kLogisticColumns;
  const auto parts = static_cast<double>(std::min<int64_t>(options.accumulate, rows));
  Counter counter;
  if (one_pass) {
    const auto columns = static_cast<double>(model.inputs);
    counter.cost.bytes_read += samples * columns * feature_bytes;
    counter.kernel(samples + parameters, 0.0, 4.0 * samples * columns);
  } else {
    count_network(plan_mlp(model), samples, feature_bytes, gradients, counter);
    // Every further part reads the weights again, and writes a gradient that is then added.
    const double more = (parts - 1) * parameters;
    counter.kernel(more, more);
  }
  if (parts > 1) counter.kernel(2 * (parts - 1) * parameters, (parts - 1) * parameters);
  const int read = (gradients == GradientPlace::memory ? 2 : 1) + states;
  counter.kernel(read * parameters, (1 + states) * parameters);
  return counter.cost;
}

}  // namespace lockstep
