#include "backend/panel_network.h"

#include <algorithm>

namespace lockstep {
namespace {

// Samples that go through all layers together, forward and back: as many panels of the widest
// layer as leave the second-level cache half free.
int64_t group_samples(const Model& model, const MlpPlan& plan, int64_t capacity) {
  constexpr int64_t kCacheFloats = (int64_t{512} << 10) / sizeof(float);
  int64_t widest = model.inputs;
  for (const LinearStage& stage : plan.stages) widest = std::max(widest, stage.outputs);
  const int64_t fitting = kCacheFloats / panel_floats(widest);
  return std::min(std::clamp<int64_t>(fitting, 1, 8), panels_of(capacity)) * kPanelSamples;
}

}  // namespace

PanelNetwork::PanelNetwork(const Model& model, const ParameterLayout& layout,
                           const Normalization& normalization, const float* values,
                           int64_t capacity, uint64_t seed, int64_t sparse_units)
    : layout_(layout),
      values_(values),
      plan_(plan_mlp(model)),
      scaling_(normalization, model.inputs),
      group_(group_samples(model, plan_, capacity)),
      seed_(seed),
      input_(capacity, model.inputs) {
  for (const LinearStage& stage : plan_.stages) {
    gradients_.emplace_back(capacity, stage.outputs);
    if (&stage == &plan_.stages.back()) break;
    outputs_.emplace_back(capacity, stage.outputs);
    output_panels_.emplace_back(group_, stage.outputs);
  }
  const LinearStage& first = plan_.stages.front();
  if (layout.weight(first.layer).transposed) {
    sparse_.emplace(first.inputs, first.outputs, group_, sparse_units);
    first_outputs_ = Rows(group_, first.outputs);
    first_gradients_ = Rows(capacity, first.outputs);
  } else {
    input_panels_ = PanelBuffer(group_, model.inputs);
  }
}

void PanelNetwork::gather_rows(const Batch& part) {
  const Matrix rows = input_.view(0, part.size());
  gather(part, scaling_, rows.data, rows.stride);
}

void PanelNetwork::drop_inputs(const Batch& part) {
  if (!plan_.input_dropout.present()) return;
  apply_dropout(dropout_of(plan_.input_dropout, part.epoch), part, input_.view(0, part.size()));
}

DropoutKey PanelNetwork::dropout_of(const DropoutSpec& spec, uint32_t epoch) const {
  return dropout_key(seed_, spec.layer, epoch, spec.p);
}

LayerEnd PanelNetwork::end_of(const LinearStage& stage, uint32_t epoch, Mode mode) const {
  LayerEnd end{stage.activation, {}};
  if (mode == Mode::train && stage.dropout.present()) {
    end.dropout = dropout_of(stage.dropout, epoch);
  }
  return end;
}

LinearWeights PanelNetwork::weights(const LinearStage& stage) const {
  return {values_ + layout_.weight(stage.layer).offset, values_ + layout_.bias(stage.layer).offset,
          stage.outputs, stage.inputs};
}

LayerFactors PanelNetwork::factors(size_t l, int64_t samples) {
  return {gradients_[l].view(0, samples),
          l == 0 ? input_.view(0, samples) : outputs_[l - 1].view(0, samples),
          l == 0 && sparse_ ? first_gradients_.view(0, samples) : Matrix{}};
}

void PanelNetwork::weight_gradient(size_t l, std::span<const LayerFactors> shares, UnitRange rows,
                                   ShareSum sum, float* dw) {
  if (l == 0 && sparse_) {
    sparse_->weight_gradient(shares, {rows.begin, rows.end}, sum, dw);
  } else {
    panel_weight_gradient(shares, rows, sum, dw);
  }
}

Panels PanelNetwork::forward(const Batch& group, int64_t first, Mode mode) {
  const int64_t size = group.size();
  Panels x;
  for (size_t l = 0; l < plan_.stages.size(); ++l) {
    const LinearStage& stage = plan_.stages[l];
    const bool last = l + 1 == plan_.stages.size();
    const Panels y = last ? gradients_[l].view(first, size) : output_panels_[l].view(0, size);
    if (l == 0) {
      first_layer(input_.view(first, size), y);
    } else {
      panel_forward(weights(stage), x, y);
    }
    const Matrix rows = last || mode == Mode::evaluate ? Matrix{} : outputs_[l].view(first, size);
    finish_layer(end_of(stage, group.epoch, mode), group, y, rows);
    x = y;
  }
  return x;
}

void PanelNetwork::first_layer(Matrix inputs, Panels y) {
  const LinearWeights w = weights(plan_.stages.front());
  if (sparse_) {
    const Matrix rows = first_outputs_.view(0, inputs.rows);
    sparse_->forward(w, inputs, rows);
    rows_to_panels(rows, y);
  } else {
    const Panels x = input_panels_.view(0, inputs.rows);
    rows_to_panels(inputs, x);
    panel_forward(w, x, y);
  }
}

void PanelNetwork::backward(const Batch& group, int64_t first) {
  const int64_t size = group.size();
  for (size_t l = plan_.stages.size() - 1; l > 0; --l) {
    const LinearStage& below = plan_.stages[l - 1];
    const Panels dx = gradients_[l - 1].view(first, size);
    panel_input_gradient(weights(plan_.stages[l]), gradients_[l].view(first, size), dx);
    finish_layer_backward(end_of(below, group.epoch, Mode::train), group,
                          output_panels_[l - 1].view(0, size), dx);
  }
  if (sparse_) {
    panels_to_rows(gradients_[0].view(first, size), first_gradients_.view(first, size));
  }
}

size_t PanelNetwork::bytes(const Model& model, const ParameterLayout& layout, int64_t capacity,
                           int64_t sparse_units) {
  const MlpPlan plan = plan_mlp(model);
  const int64_t group = group_samples(model, plan, capacity);
  int64_t floats = panels_of(capacity) * kPanelSamples * spread_stride(model.inputs);
  for (const LinearStage& stage : plan.stages) {
    floats += panels_of(capacity) *
                  (panel_floats(stage.outputs) + kPanelSamples * spread_stride(stage.outputs)) +
              panels_of(group) * panel_floats(stage.outputs);
  }
  const LinearStage& first = plan.stages.front();
  const TensorSpec& weight = layout.weight(first.layer);
  if (!weight.transposed) {
    floats += panels_of(group) * panel_floats(model.inputs);
    return floats * sizeof(float);
  }
  floats += (panels_of(group) + panels_of(capacity)) * kPanelSamples * spread_stride(first.outputs);
  return floats * sizeof(float) +
         SparseLayer::workspace_bytes(first.inputs, first.outputs, group, sparse_units);
}

}  // namespace lockstep
