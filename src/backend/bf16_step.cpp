#include "backend/bf16_step.h"

#include <algorithm>
#include <vector>

#include "backend/bf16_stage.h"
#include "backend/cpu_step.h"
#include "backend/dropout.h"
#include "backend/gather.h"
#include "backend/panel_loss.h"
#include "backend/panel_ops.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

// Samples that go from float32 to bf16 together: their float32 rows stay in the nearest caches.
constexpr int64_t kBlock = kColumnBlock;

int64_t widest(const MlpPlan& plan) {
  int64_t width = 0;
  for (const LinearStage& stage : plan.stages) width = std::max(width, stage.outputs);
  return width;
}

// Floats of a matrix of whole panels of samples whose rows are read in fours.
int64_t matrix_floats(int64_t samples, int64_t columns) {
  return panels_of(samples) * kPanelSamples * ((columns + 3) / 4 * 4);
}

int64_t block_floats(const MlpPlan& plan, const Model& model) {
  return plan.input_dropout.present() ? kBlock * spread_stride(model.inputs) : 0;
}

Bf16Stage::Role role_of(size_t stage, const StepOptions& options) {
  if (options.evaluate_only) return Bf16Stage::Role::evaluate;
  return stage == 0 ? Bf16Stage::Role::first : Bf16Stage::Role::inner;
}

class Bf16Step final : public CpuStep {
 public:
  Bf16Step(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
           const StepMemory& memory, const StepOptions& options)
      : CpuStep(layout, memory, options),
        plan_(plan_mlp(model)),
        scaling_(normalization, model.inputs),
        capacity_(part_capacity(options)),
        threads_(options.threads),
        seed_(options.seed),
        block_(block_floats(plan_, model)),
        rows_(matrix_floats(capacity_, widest(plan_))),
        logits_(panels_of(capacity_) * panel_floats(plan_.stages.back().outputs)) {
    for (size_t l = 0; l < plan_.stages.size(); ++l) {
      const LinearStage& stage = plan_.stages[l];
      const TensorSpec& weight = layout.weight(stage.layer);
      stages_.emplace_back(stage, role_of(l, options), capacity_, weight, values(weight.offset),
                           values(layout.bias(stage.layer).offset));
    }
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const StepSeconds trained = seconds_;
    weights_changed();
    BatchMetrics metrics;
    for (int64_t first = 0; first < batch.size(); first += capacity_) {
      const Batch part = slice_of_batch(batch, first, std::min(capacity_, batch.size() - first));
      const Panels output = forward(part, Mode::evaluate);
      metrics += panel_loss(plan_.loss, part, output);
      if (logits.empty()) continue;
      const int64_t outputs = output.features;
      std::copy_n(rows_.data(), part.size() * outputs, logits.data() + first * outputs);
    }
    seconds_ = trained;
    return metrics;
  }

 protected:
  void weights_changed() override {
    set_gemm_threads(threads_);
    for (Bf16Stage& stage : stages_) stage.round_weights();
  }

  BatchMetrics propagate(const Batch& part, float*) override {
    samples_ = part.size();
    if (samples_ == 0) return {};
    const Panels logits = forward(part, Mode::train);
    const BatchMetrics metrics = panel_loss_backward(plan_.loss, part, logits);
    const int64_t classes = logits.features;
    // As rows again, whose stride must be whole fours here.
    const Matrix gradient{rows_.data(), panels_of(samples_) * kPanelSamples, classes,
                          (classes + 3) / 4 * 4};
    finish_layer({}, part, logits, gradient);
    for (size_t l = stages_.size(); l-- > 0;) {
      const bool last = l + 1 == stages_.size();
      backward(l, part, last ? gradient : hidden_rows(l));
      if (l > 0) stages_[l].input_gradient(rows_.data());
    }
    return metrics;
  }

  void weight_gradients(float* gradients, const RangeSink& done) override {
    for (size_t l = stages_.size(); l-- > 0;) {
      Bf16Stage& stage = stages_[l];
      const TensorSpec& bias = layout_.bias(plan_.stages[l].layer);
      const TensorSpec& weight = layout_.weight(plan_.stages[l].layer);
      if (samples_ == 0) {
        std::fill_n(gradients + weight.offset, weight.size, 0.0f);
        std::fill_n(gradients + bias.offset, bias.size, 0.0f);
        done(bias.range());
        done(weight.range());
        continue;
      }
      std::copy(stage.bias_gradient().begin(), stage.bias_gradient().end(),
                gradients + bias.offset);
      done(bias.range());
      for (size_t i = 0; i < stage.slabs().size(); ++i) {
        const Slab& slab = stage.slabs()[i];
        stage.weight_gradient(
            i, gradients + weight.offset + slab.units.begin * plan_.stages[l].inputs);
        if (!slab.range.empty()) done(slab.range);
      }
    }
  }

 private:
  enum class Mode { train, evaluate };

  DropoutKey dropout_of(const DropoutSpec& spec, uint32_t epoch) const {
    return dropout_key(seed_, spec.layer, epoch, spec.p);
  }

  // rows_ as [samples in hand, outputs of stage l], to whole blocks of samples.
  Matrix hidden_rows(size_t l) {
    const int64_t width = plan_.stages[l].outputs;
    return {rows_.data(), samples_, width, width};
  }

  // Features, normalised in float32 and rounded once.
  void gather_input(const Batch& part, Mode mode) {
    clock_.lap(seconds_.compute);
    if (mode == Mode::train && plan_.input_dropout.present()) {
      gather_with_dropout(part);
    } else {
      stages_[0].set_input(part, scaling_);
    }
    clock_.lap(seconds_.data);
  }

  void gather_with_dropout(const Batch& part) {
    const int64_t inputs = plan_.stages[0].inputs, stride = spread_stride(inputs);
    for (int64_t first = 0; first < part.size(); first += kBlock) {
      const Batch block = slice_of_batch(part, first, std::min(kBlock, part.size() - first));
      const Matrix rows{block_.data(), block.size(), inputs, stride};
      gather(block, scaling_, rows.data, stride);
      apply_dropout(dropout_of(plan_.input_dropout, part.epoch), block, rows);
      stages_[0].set_input(rows, Activation::none, first);
    }
  }

  // Through all layers. Returns the logits; rows_ holds them row-major.
  Panels forward(const Batch& part, Mode mode) {
    samples_ = part.size();
    for (Bf16Stage& stage : stages_) stage.start(samples_);
    gather_input(part, mode);
    for (size_t l = 0; l < stages_.size(); ++l) {
      const LinearStage& stage = plan_.stages[l];
      stages_[l].forward(rows_.data());
      if (l + 1 == stages_.size()) break;
      const Matrix y = hidden_rows(l);
      // Dropout and ReLU may change places.
      if (mode == Mode::train && stage.dropout.present()) {
        apply_dropout(dropout_of(stage.dropout, part.epoch), part, y);
      }
      stages_[l + 1].set_input(y, stage.activation, 0);
    }
    const int64_t classes = plan_.stages.back().outputs;
    const Panels panels{logits_.data(), samples_, classes, panel_floats(classes)};
    rows_to_panels({rows_.data(), samples_, classes, classes}, panels);
    return panels;
  }

  // The gradient of stage l's output, in `dy` after activation and dropout, goes into the stage.
  void backward(size_t l, const Batch& part, Matrix dy) {
    const LinearStage& stage = plan_.stages[l];
    for (int64_t first = 0; first < samples_; first += kBlock) {
      const int64_t count = std::min(kBlock, samples_ - first);
      const Matrix block{dy.row(first), count, dy.columns, dy.stride};
      if (stage.activation == Activation::relu) {
        const float scale =
            stage.dropout.present() ? dropout_of(stage.dropout, part.epoch).keep_scale : 1.0f;
        relu_backward(block, stages_[l + 1].input(first), scale);
      } else if (stage.dropout.present()) {
        apply_dropout(dropout_of(stage.dropout, part.epoch), slice_of_batch(part, first, count),
                      block);
      }
      for (int64_t i = count; i < kBlock; ++i) std::fill_n(dy.row(first + i), dy.columns, 0.0f);
      stages_[l].set_gradient({dy.row(first), kBlock, dy.columns, dy.stride}, first, count);
    }
  }

  MlpPlan plan_;
  FeatureScaling scaling_;
  int64_t capacity_;  // samples of a part
  int threads_;
  uint64_t seed_;
  int64_t samples_ = 0;   // of the part in hand
  Buffer<float> block_;   // gathered rows, where dropout comes before the rounding
  Buffer<float> rows_;    // what a product gives, until it is rounded
  Buffer<float> logits_;  // panels of them, then of their gradient
  std::vector<Bf16Stage> stages_;
};

}  // namespace

std::unique_ptr<Step> make_bf16_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options) {
  if (!bf16_available()) {
    throw Error(ErrorKind::device, "this CPU has no bfloat16 instructions (AVX512_BF16 or AMX)",
                "use --precision fp32");
  }
  return std::make_unique<Bf16Step>(model, layout, normalization, memory, options);
}

size_t bf16_step_workspace_bytes(const Model& model, const StepOptions& options) {
  const MlpPlan plan = plan_mlp(model);
  const int64_t capacity = CpuStep::part_capacity(options);
  const int64_t floats = block_floats(plan, model) + matrix_floats(capacity, widest(plan)) +
                         panels_of(capacity) * panel_floats(plan.stages.back().outputs);
  size_t bytes = floats * sizeof(float);
  for (size_t l = 0; l < plan.stages.size(); ++l) {
    bytes += Bf16Stage::bytes(plan.stages[l], role_of(l, options), capacity);
  }
  return bytes;
}

}  // namespace lockstep
