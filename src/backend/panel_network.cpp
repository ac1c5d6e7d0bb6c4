#include "backend/panel_network.h"

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

// Samples that go through all layers together, forward and back: as many panels of the widest
// layer as leave the second-level cache half free.
int64_t group_samples(int64_t inputs, const MlpPlan& plan, int64_t capacity) {
  constexpr int64_t kCacheFloats = (int64_t{512} << 10) / sizeof(float);
  int64_t widest = inputs;
  for (const LinearStage& stage : plan.stages) widest = std::max(widest, stage.outputs);
  const int64_t fitting = kCacheFloats / panel_floats(widest);
  return std::min(std::clamp<int64_t>(fitting, 1, 8), panels_of(capacity)) * kPanelSamples;
}

}  // namespace

PanelNetwork::PanelNetwork(const Model& model, const ParameterLayout& layout,
                           const Normalization& normalization, const float* values,
                           int64_t capacity, uint64_t seed, int64_t sparse_units)
    : PanelNetwork(plan_mlp(model), model.inputs, layout, normalization, values, capacity, seed,
                   sparse_units) {}

PanelNetwork::PanelNetwork(MlpPlan plan, int64_t inputs, const ParameterLayout& layout,
                           const float* values, int64_t capacity, uint64_t seed)
    : PanelNetwork(std::move(plan), inputs, layout, Normalization{}, values, capacity, seed, 0) {}

PanelNetwork::PanelNetwork(MlpPlan plan, int64_t inputs, const ParameterLayout& layout,
                           const Normalization& normalization, const float* values,
                           int64_t capacity, uint64_t seed, int64_t sparse_units)
    : layout_(layout),
      values_(values),
      plan_(std::move(plan)),
      scaling_(normalization, inputs),
      group_(group_samples(inputs, plan_, capacity)),
      seed_(seed),
      input_(capacity, inputs) {
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
    input_panels_ = PanelBuffer(group_, inputs);
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

Panels PanelNetwork::outputs_of(size_t l, int64_t first, int64_t samples) {
  return l + 1 == plan_.stages.size() ? gradients_[l].view(first, samples)
                                      : output_panels_[l].view(0, samples);
}

void PanelNetwork::end_layer(size_t l, const Batch& group, int64_t first, Mode mode, Panels y) {
  const bool keeps = l + 1 < plan_.stages.size() && mode == Mode::train;
  const Matrix rows = keeps ? outputs_[l].view(first, group.size()) : Matrix{};
  finish_layer(end_of(plan_.stages[l], group.epoch, mode), group, y, rows);
}

Panels PanelNetwork::forward(const Batch& group, int64_t first, Mode mode) {
  const Panels y = outputs_of(0, first, group.size());
  first_layer(input_.view(first, group.size()), y);
  end_layer(0, group, first, mode, y);
  return forward_from(1, y, group, first, mode);
}

Panels PanelNetwork::forward(Panels x, const Batch& group, int64_t first, Mode mode) {
  if (mode == Mode::train) panels_to_rows(x, input_.view(first, group.size()));
  return forward_from(0, x, group, first, mode);
}

Panels PanelNetwork::forward_from(size_t l, Panels x, const Batch& group, int64_t first,
                                  Mode mode) {
  for (; l < plan_.stages.size(); ++l) {
    const Panels y = outputs_of(l, first, group.size());
    panel_forward(weights(plan_.stages[l]), x, y);
    end_layer(l, group, first, mode, y);
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

void PanelNetwork::input_gradient(int64_t first, Panels dx) {
  panel_input_gradient(weights(plan_.stages[0]), gradients_[0].view(first, dx.samples), dx);
}

size_t PanelNetwork::bytes(const Model& model, const ParameterLayout& layout, int64_t capacity,
                           int64_t sparse_units) {
  return bytes(plan_mlp(model), model.inputs, layout, capacity, sparse_units);
}

size_t PanelNetwork::bytes(const MlpPlan& plan, int64_t inputs, const ParameterLayout& layout,
                           int64_t capacity, int64_t sparse_units) {
  const int64_t group = group_samples(inputs, plan, capacity);
  int64_t floats = panels_of(capacity) * kPanelSamples * spread_stride(inputs);
  for (const LinearStage& stage : plan.stages) {
    floats += panels_of(capacity) *
                  (panel_floats(stage.outputs) + kPanelSamples * spread_stride(stage.outputs)) +
              panels_of(group) * panel_floats(stage.outputs);
  }
  const LinearStage& first = plan.stages.front();
  const TensorSpec& weight = layout.weight(first.layer);
  if (!weight.transposed) {
    floats += panels_of(group) * panel_floats(inputs);
    return floats * sizeof(float);
  }
  floats += (panels_of(group) + panels_of(capacity)) * kPanelSamples * spread_stride(first.outputs);
  return floats * sizeof(float) +
         SparseLayer::workspace_bytes(first.inputs, first.outputs, group, sparse_units);
}

}  // namespace lockstep
