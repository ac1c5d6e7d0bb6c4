#include "backend/cuda_cost.h"

#include <algorithm>

#include "backend/cuda_image_plan.h"
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

// Convolutions and poolings, as CudaImages launches them; what is done to the places of a pooling's
// largest values, a byte each, is not counted.
void count_images(const ConvPlan& plan, double rows, Counter& counter) {
  bool has_gradient = false;
  for (const CudaImageStage& stage : cuda_image_stages(plan)) {
    const ImageShape in = stage.what.input(), out = stage.what.output();
    const double x = rows * static_cast<double>(in.pixels() * stage.input_pitch);
    const double y = rows * static_cast<double>(out.pixels() * stage.output_pitch());
    double weight = 0.0, flop = 0.0;
    if (stage.what.conv) {
      const ConvShape& shape = stage.shape;
      weight = static_cast<double>(shape.outputs) * shape.depth();
      flop = 2.0 * rows * weight * shape.output_height * shape.output_width;
      counter.kernel(weight, weight);       // the copy that products read
      counter.kernel(y + x, weight, flop);  // weight gradient
    }
    counter.kernel(x + weight, y, flop);                        // forward
    if (has_gradient) counter.kernel(y + x + weight, x, flop);  // input gradient
    has_gradient = stage.has_gradient;
    if (stage.last && has_gradient && !stage.one_pixel()) counter.kernel(y, y);  // to images
  }
}

// Gather, forward, loss, backward, as CudaNetwork launches them.
void count_network(const Model& model, double rows, double feature_bytes, GradientPlace gradients,
                   Counter& counter) {
  MlpPlan plan;
  double classes = 0.0;
  bool input_gradient = false;
  if (model.convolutional()) {
    const ConvPlan images = plan_conv(model);
    plan = images.linear;
    classes = static_cast<double>(images.images.back().output().size());
    input_gradient = cuda_image_stages(images).back().has_gradient;
    count_images(images, rows, counter);
  } else {
    plan = plan_mlp(model);
  }
  if (!plan.stages.empty()) classes = static_cast<double>(plan.stages.back().outputs);
  const auto inputs = static_cast<double>(model.inputs);
  counter.cost.bytes_read += rows * inputs * feature_bytes;
  counter.kernel(rows, rows * (inputs + 3));  // label; row, label, 64-bit index
  for (const LinearStage& stage : plan.stages) {
    const auto in = static_cast<double>(stage.inputs), out = static_cast<double>(stage.outputs);
    const double weight = in * out, flop = 2.0 * rows * weight;
    const double stored = gradients == GradientPlace::memory ? weight + out : 0.0;
    counter.kernel(rows * in + weight + out, rows * out, flop);  // forward
    counter.kernel(rows * (in + out), stored, flop);             // weight gradient
    if (&stage == &plan.stages.front() && !input_gradient) continue;
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
    count_network(model, samples, feature_bytes, gradients, counter);
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
