#include "backend/conv_step.h"

#include <algorithm>

#include "backend/conv_network.h"
#include "backend/cpu_step.h"
#include "backend/panel_loss.h"
#include "backend/slabs.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

// Slabs that are multiples of this leave no low tiles (12 x 2 or 6 x 2 vectors).
constexpr int64_t kTileUnits = 12;

// Samples whose activations are kept: those of a part in training. Evaluation takes a panel at a
// time.
int64_t capacity_of(const StepOptions& options) {
  if (options.evaluate_only) return kPanelSamples;
  if (options.train_batch <= 0) return CpuStep::part_capacity(options);
  StepOptions training = options;
  training.max_batch = options.train_batch;
  return CpuStep::part_capacity(training);
}

class ConvStep final : public CpuStep {
 public:
  ConvStep(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
           const StepMemory& memory, const StepOptions& options)
      : CpuStep(layout, memory, options),
        network_(model, layout, normalization, memory.values.data(), capacity_of(options),
                 options.seed),
        slab_floats_(slab_floats(options)) {}

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const StepSeconds trained = seconds_;
    network_.pack_weights();
    BatchMetrics metrics;
    for (int64_t first = 0; first < batch.size(); first += kPanelSamples) {
      const Batch group = group_of(batch, first);
      network_.gather_images(group, 0, ConvNetwork::Mode::evaluate);
      const Panels output = network_.forward(group, 0, ConvNetwork::Mode::evaluate);
      metrics += panel_loss(network_.plan().linear.loss, group, output);
      if (!logits.empty()) panels_to_rows(output, logits.data() + first * output.features);
    }
    seconds_ = trained;
    return metrics;
  }

 protected:
  void weights_changed() override { network_.pack_weights(); }

  BatchMetrics propagate(const Batch& part, float*) override {
    samples_ = part.size();
    BatchMetrics metrics;
    for (int64_t first = 0; first < samples_; first += kPanelSamples) {
      const Batch group = group_of(part, first);
      clock_.lap(seconds_.compute);
      network_.gather_images(group, first, ConvNetwork::Mode::train);
      clock_.lap(seconds_.data);
      const Panels logits = network_.forward(group, first, ConvNetwork::Mode::train);
      metrics += panel_loss_backward(network_.plan().linear.loss, group, logits);
      network_.backward(group, first);
    }
    return metrics;
  }

  // The linear layers hold most of the bytes and are ready first.
  void weight_gradients(float* gradients, const RangeSink& done) override {
    const ConvPlan& plan = network_.plan();
    for (size_t l = plan.linear.stages.size(); l-- > 0;) linear_gradients(l, gradients, done);
    for (size_t l = plan.images.size(); l-- > 0;) {
      const ImageStage& stage = plan.images[l];
      if (!stage.conv) continue;
      const TensorSpec &weight = layout_.weight(stage.layer), &bias = layout_.bias(stage.layer);
      network_.bias_gradient(l, samples_, gradients + bias.offset);
      done(bias.range());
      network_.weight_gradient(l, samples_, gradients + weight.offset);
      done(weight.range());
    }
  }

 private:
  static Batch group_of(const Batch& batch, int64_t first) {
    return slice_of_batch(batch, first, std::min(kPanelSamples, batch.size() - first));
  }

  void linear_gradients(size_t l, float* gradients, const RangeSink& done) {
    PanelNetwork& linear = *network_.linear();
    const LinearStage& stage = linear.plan().stages[l];
    const TensorSpec &weight = layout_.weight(stage.layer), &bias = layout_.bias(stage.layer);
    const LayerFactors factors = linear.factors(l, samples_);
    panel_bias_gradient({&factors, 1}, {0, stage.outputs}, ShareSum::chain,
                        gradients + bias.offset);
    done(bias.range());
    for (const Slab& slab : slabs_of(weight, slab_floats_, kTileUnits)) {
      linear.weight_gradient(l, {&factors, 1}, slab.units, ShareSum::chain,
                             gradients + weight.offset + slab.units.begin * weight.columns());
      if (!slab.range.empty()) done(slab.range);
    }
  }

  ConvNetwork network_;
  size_t slab_floats_;
  int64_t samples_ = 0;  // of the part in hand
};

}  // namespace

std::unique_ptr<Step> make_conv_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options) {
  if (options.precision != Precision::fp32) {
    throw Error(ErrorKind::usage, "convolutions on CPUs are computed in float32 in this version",
                "use --precision fp32");
  }
  if (options.threads > 1) {
    throw Error(ErrorKind::usage, "--threads: a worker computes convolutions in one thread",
                "use --workers N instead");
  }
  return std::make_unique<ConvStep>(model, layout, normalization, memory, options);
}

size_t conv_step_workspace_bytes(const Model& model, const ParameterLayout& layout,
                                 const StepOptions& options) {
  return ConvNetwork::bytes(model, layout, capacity_of(options));
}

}  // namespace lockstep
