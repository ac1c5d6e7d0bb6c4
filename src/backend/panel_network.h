// A network of linear layers on panels (backend/panel.h): its activations, and the ways through its
// layers, a group of samples at a time.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "backend/gather.h"
#include "backend/mlp_plan.h"
#include "backend/panel_gemm.h"
#include "backend/panel_ops.h"
#include "backend/sparse_layer.h"
#include "lockstep/backend.h"
#include "lockstep/buffer.h"

namespace lockstep {

// Row-major rows for whole panels of samples.
class Rows {
 public:
  Rows() = default;
  Rows(int64_t samples, int64_t columns)
      : columns_(columns), data_(panels_of(samples) * kPanelSamples * spread_stride(columns)) {}
  // `count` rows from row `first` on.
  Matrix view(int64_t first, int64_t count) {
    const int64_t stride = spread_stride(columns_);
    return {data_.data() + first * stride, count, columns_, stride};
  }

 private:
  int64_t columns_ = 0;
  Buffer<float> data_;
};

class PanelBuffer {
 public:
  PanelBuffer() = default;
  PanelBuffer(int64_t samples, int64_t features)
      : features_(features), data_(panels_of(samples) * panel_floats(features)) {}
  // The panels of `samples` samples from sample `first`, a panel's first, on.
  Panels view(int64_t first, int64_t samples) {
    const int64_t stride = panel_floats(features_);
    return {data_.data() + first / kPanelSamples * stride, samples, features_, stride};
  }

 private:
  int64_t features_ = 0;
  Buffer<float> data_;
};

// One thread at a time. Works on a part of a batch of at most `capacity` samples, whose activations
// and gradients stay until the next part's; within it on groups.
class PanelNetwork {
 public:
  enum class Mode { train, evaluate };

  // `values` are the weights, which others may change between the calls; a sparse first layer
  // computes its gradient in slabs of at most `sparse_units` units. `layout` must outlive this.
  PanelNetwork(const Model& model, const ParameterLayout& layout,
               const Normalization& normalization, const float* values, int64_t capacity,
               uint64_t seed, int64_t sparse_units);

  // Of layers whose `inputs` features come as panels, which are the outputs of other layers.
  PanelNetwork(MlpPlan plan, int64_t inputs, const ParameterLayout& layout, const float* values,
               int64_t capacity, uint64_t seed);

  const MlpPlan& plan() const { return plan_; }
  // Samples that pass through the layers together.
  int64_t group() const { return group_; }

  // The part's rows, converted; then their dropout, where there is any.
  void gather_rows(const Batch& part);
  void drop_inputs(const Batch& part);

  // Through all layers; `first` is the group's first sample within the part. Returns the logits,
  // in the panels of their gradient.
  Panels forward(const Batch& group, int64_t first, Mode mode);
  // The same from inputs that come as panels.
  Panels forward(Panels x, const Batch& group, int64_t first, Mode mode);
  // Back to the first layer's outputs, from the gradient of the logits.
  void backward(const Batch& group, int64_t first);
  // And from there to the inputs, dx's samples from `first` on.
  void input_gradient(int64_t first, Panels dx);

  // What stage `l`'s weight gradient is the product of, over the part's `samples`.
  LayerFactors factors(size_t l, int64_t samples);
  // Some stored rows of stage `l`'s weight gradient: units, or inputs of a sparse stage.
  void weight_gradient(size_t l, std::span<const LayerFactors> shares, UnitRange rows, ShareSum sum,
                       float* dw);

  // What one allocates.
  static size_t bytes(const Model& model, const ParameterLayout& layout, int64_t capacity,
                      int64_t sparse_units);
  static size_t bytes(const MlpPlan& plan, int64_t inputs, const ParameterLayout& layout,
                      int64_t capacity, int64_t sparse_units);

 private:
  PanelNetwork(MlpPlan plan, int64_t inputs, const ParameterLayout& layout,
               const Normalization& normalization, const float* values, int64_t capacity,
               uint64_t seed, int64_t sparse_units);
  DropoutKey dropout_of(const DropoutSpec& spec, uint32_t epoch) const;
  LayerEnd end_of(const LinearStage& stage, uint32_t epoch, Mode mode) const;
  LinearWeights weights(const LinearStage& stage) const;
  void first_layer(Matrix inputs, Panels y);
  // Through the layers from `l` on, from the outputs `x` of the one before.
  Panels forward_from(size_t l, Panels x, const Batch& group, int64_t first, Mode mode);
  Panels outputs_of(size_t l, int64_t first, int64_t samples);
  void end_layer(size_t l, const Batch& group, int64_t first, Mode mode, Panels y);

  const ParameterLayout& layout_;
  const float* values_;
  MlpPlan plan_;
  FeatureScaling scaling_;
  int64_t group_;
  uint64_t seed_;
  Rows input_;
  PanelBuffer input_panels_;           // of a group
  std::optional<SparseLayer> sparse_;  // the first stage, where its weight is [inputs, outputs]
  Rows first_outputs_;                 // its outputs, of a group
  Rows first_gradients_;               // their gradients
  std::vector<Rows> outputs_;          // of each stage but the last, after its LayerEnd
  std::vector<PanelBuffer> output_panels_;  // the same, of a group
  std::vector<PanelBuffer> gradients_;      // of each stage's output before its LayerEnd
};

}  // namespace lockstep
