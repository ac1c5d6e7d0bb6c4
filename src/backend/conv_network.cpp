#include "backend/conv_network.h"

#include <algorithm>

namespace lockstep {
namespace {

// Rows of a convolution's gradients in front of its pooling that are made and used together: what
// fits a part of the second-level cache.
int64_t strip_rows(const ConvOutputs& outputs) {
  constexpr int64_t kFloats = (int64_t{512} << 10) / sizeof(float);
  const int64_t row = outputs.conv.channels * outputs.computed.width * kPanelSamples;
  const int64_t rows = std::max<int64_t>(kFloats / row / outputs.pool, 1) * outputs.pool;
  return std::min(rows, outputs.computed.height);
}

ConvOutputs outputs_of(const ImageStage& stage) {
  return {*stage.conv, stage.computed(), stage.pool ? stage.pool->kernel : 1};
}

// Floats of the buffer in front of a pooling: a whole panel where there is an input gradient.
int64_t computed_floats(const ImageStage& stage, bool first) {
  if (!stage.conv || !stage.pool) return 0;
  const ConvOutputs outputs = outputs_of(stage);
  const int64_t rows = first ? strip_rows(outputs) : outputs.computed.height;
  return outputs.conv.channels * rows * outputs.computed.width * kPanelSamples;
}

}  // namespace

ConvNetwork::ConvNetwork(const Model& model, const ParameterLayout& layout,
                         const Normalization& normalization, const float* values, int64_t capacity,
                         uint64_t seed)
    : layout_(layout),
      values_(values),
      plan_(plan_conv(model)),
      scaling_(normalization, model.inputs),
      seed_(seed),
      rows_(kPanelSamples, model.inputs),
      input_(capacity, model.inputs) {
  int64_t gradient_floats = 0;
  for (const ImageStage& image : plan_.images) {
    const bool first = stages_.empty();
    Stage& stage = stages_.emplace_back();
    const int64_t features = image.output().size();
    if (image.conv) {
      stage.outputs = outputs_of(image);
      stage.forward_taps = TapTable::forward(*image.conv, stage.outputs.computed);
      stage.forward_weights = PackedWeights(*image.conv);
      if (!first) {
        stage.gradient_taps = TapTable::input_gradient(*image.conv, stage.outputs.computed);
        stage.gradient_weights = PackedWeights(*image.conv);
      }
      if (image.pool) {
        stage.chosen = Buffer<uint8_t>(panels_of(capacity) * features * kPanelSamples);
      }
    }
    stage.activations = PanelBuffer(capacity, features);
    stage.gradients = PanelBuffer(capacity, features);
    gradient_floats = std::max(gradient_floats, computed_floats(image, first));
  }
  computed_gradients_ = Buffer<float>(gradient_floats);
  if (!plan_.linear.stages.empty()) {
    linear_.emplace(plan_.linear, plan_.images.back().output().size(), layout, values, capacity,
                    seed);
  }
}

void ConvNetwork::pack_weights() {
  for (size_t l = 0; l < stages_.size(); ++l) {
    if (!plan_.images[l].conv) continue;
    const float* weight = values_ + layout_.weight(plan_.images[l].layer).offset;
    stages_[l].forward_weights.pack_forward(weight);
    if (l > 0) stages_[l].gradient_weights.pack_input_gradient(weight);
  }
}

void ConvNetwork::gather_images(const Batch& group, int64_t first, Mode mode) {
  const Matrix rows = rows_.view(0, group.size());
  gather(group, scaling_, rows.data, rows.stride);
  if (mode == Mode::train && plan_.input_dropout.present()) {
    apply_dropout(dropout_key(seed_, plan_.input_dropout.layer, group.epoch, plan_.input_dropout.p),
                  group, rows);
  }
  rows_to_panels(rows, input_.view(first, group.size()));
}

LayerEnd ConvNetwork::end_of(const ImageStage& stage, uint32_t epoch) const {
  LayerEnd end{stage.activation(), {}};
  if (stage.dropout.present()) {
    end.dropout = dropout_key(seed_, stage.dropout.layer, epoch, stage.dropout.p);
  }
  return end;
}

Panels ConvNetwork::input_of(size_t l, int64_t first, int64_t samples) {
  return l == 0 ? input_.view(first, samples) : stages_[l - 1].activations.view(first, samples);
}

uint8_t* ConvNetwork::chosen(size_t l, int64_t panel) {
  if (stages_[l].chosen.empty()) return nullptr;
  return stages_[l].chosen.data() + panel * plan_.images[l].output().size() * kPanelSamples;
}

void ConvNetwork::stage_forward(size_t l, const Batch& group, int64_t first, Mode mode) {
  const ImageStage& image = plan_.images[l];
  Stage& stage = stages_[l];
  const Panels x = input_of(l, first, group.size());
  const Panels y = stage.activations.view(first, group.size());
  if (image.conv) {
    panel_conv_forward(stage.outputs, *stage.forward_taps, stage.forward_weights,
                       values_ + layout_.bias(image.layer).offset, x.data, x.width(0), y.data,
                       mode == Mode::train ? chosen(l, first / kPanelSamples) : nullptr);
  } else {
    panel_pool_forward(*image.pool, x.data, x.width(0), y.data);
  }
  if (mode == Mode::train && image.dropout.present()) {
    finish_layer({Activation::none, end_of(image, group.epoch).dropout}, group, y, {});
  }
}

Panels ConvNetwork::forward(const Batch& group, int64_t first, Mode mode) {
  for (size_t l = 0; l < stages_.size(); ++l) stage_forward(l, group, first, mode);
  const Panels images = stages_.back().activations.view(first, group.size());
  if (linear_) return linear_->forward(images, group, first, mode);
  const Panels logits = stages_.back().gradients.view(first, group.size());
  std::copy_n(images.data, images.stride, logits.data);
  return logits;
}

ConvNetwork::Rows2d ConvNetwork::computed_gradient(size_t l, Panels pooled, int64_t panel,
                                                   int64_t begin, int64_t end) {
  const ConvOutputs& outputs = stages_[l].outputs;
  if (outputs.pool == 1) {
    return {pooled.panel(panel) + begin * outputs.computed.width * kPanelSamples,
            outputs.computed.height};
  }
  pooled_gradient(outputs, pooled.panel(panel), chosen(l, panel), pooled.width(panel), begin, end,
                  computed_gradients_.data());
  return {computed_gradients_.data(), end - begin};
}

void ConvNetwork::backward(const Batch& group, int64_t first) {
  const int64_t size = group.size();
  if (linear_) {
    linear_->backward(group, first);
    linear_->input_gradient(first, stages_.back().gradients.view(first, size));
  }
  for (size_t l = stages_.size(); l-- > 0;) {
    const ImageStage& image = plan_.images[l];
    Stage& stage = stages_[l];
    const Panels dy = stage.gradients.view(first, size);
    finish_layer_backward(end_of(image, group.epoch), group, stage.activations.view(first, size),
                          dy);
    if (l == 0) return;
    const Panels dx = stages_[l - 1].gradients.view(first, size);
    if (!image.conv) {
      panel_pool_backward(*image.pool, input_of(l, first, size).data, dy.data, dy.width(0),
                          dx.data);
      continue;
    }
    const int64_t rows = stage.outputs.computed.height;
    const Panels all = stage.gradients.view(0, first + size);
    const Rows2d computed = computed_gradient(l, all, first / kPanelSamples, 0, rows);
    panel_conv_input_gradient(stage.outputs, *stage.gradient_taps, stage.gradient_weights,
                              computed.dy, dy.width(0), dx.data);
  }
}

void ConvNetwork::weight_gradient(size_t l, int64_t samples, float* dw) {
  const ConvOutputs& outputs = stages_[l].outputs;
  std::fill_n(dw, outputs.conv.channels * outputs.conv.fan_in(), 0.0f);
  const Panels x = input_of(l, 0, samples), dy = stages_[l].gradients.view(0, samples);
  const int64_t rows = outputs.computed.height;
  const int64_t strip = outputs.pool > 1 ? strip_rows(outputs) : rows;
  for (int64_t p = 0; p < dy.count(); ++p) {
    for (int64_t begin = 0; begin < rows; begin += strip) {
      const int64_t end = std::min(begin + strip, rows);
      const Rows2d computed = computed_gradient(l, dy, p, begin, end);
      panel_conv_weight_gradient(outputs, x.panel(p), computed.dy, computed.rows, dy.width(p),
                                 begin, end, dw);
    }
  }
}

void ConvNetwork::bias_gradient(size_t l, int64_t samples, float* db) {
  panel_conv_bias_gradient(stages_[l].gradients.view(0, samples), plan_.images[l].output().pixels(),
                           db);
}

size_t ConvNetwork::bytes(const Model& model, const ParameterLayout& layout, int64_t capacity) {
  const ConvPlan plan = plan_conv(model);
  const int64_t panels = panels_of(capacity);
  int64_t floats =
      kPanelSamples * spread_stride(model.inputs) + panels * panel_floats(model.inputs);
  int64_t bytes = 0, gradient_floats = 0;
  for (const ImageStage& image : plan.images) {
    const bool first = &image == &plan.images.front();
    const int64_t features = image.output().size();
    floats += 2 * panels * panel_floats(features);
    if (image.conv) floats += (first ? 1 : 2) * image.conv->channels * image.conv->fan_in();
    if (image.conv && image.pool) bytes += panels * features * kPanelSamples;
    gradient_floats = std::max(gradient_floats, computed_floats(image, first));
  }
  floats += gradient_floats;
  bytes += floats * static_cast<int64_t>(sizeof(float));
  if (!plan.linear.stages.empty()) {
    bytes += static_cast<int64_t>(
        PanelNetwork::bytes(plan.linear, plan.images.back().output().size(), layout, capacity, 0));
  }
  return static_cast<size_t>(bytes);
}

}  // namespace lockstep
