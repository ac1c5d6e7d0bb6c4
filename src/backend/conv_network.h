// A convolutional network on panels (backend/panel.h): its activations, and the ways through its
// layers, a panel of samples at a time.
#pragma once

#include <optional>
#include <vector>

#include "backend/conv_plan.h"
#include "backend/panel_conv.h"
#include "backend/panel_network.h"

namespace lockstep {

// One thread at a time. Works on a part of a batch of at most `capacity` samples, whose activations
// and gradients stay until the next part's; within it on groups of at most kPanelSamples.
class ConvNetwork {
 public:
  using Mode = PanelNetwork::Mode;

  // `values` are the weights, which others may change between the calls. `model` and `layout` must
  // outlive this.
  ConvNetwork(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
              const float* values, int64_t capacity, uint64_t seed);

  const ConvPlan& plan() const { return plan_; }

  // Reads the convolutions' weights: before a part, where they may have changed.
  void pack_weights();
  // A group's images, converted, into panel `first` / kPanelSamples.
  void gather_images(const Batch& group, int64_t first, Mode mode);
  // Through all layers. Returns the logits, in the panels of their gradient.
  Panels forward(const Batch& group, int64_t first, Mode mode);
  // Back to the first stage's outputs, from the gradient of the logits.
  void backward(const Batch& group, int64_t first);

  // The linear part; none where the last image is the logits.
  std::optional<PanelNetwork>& linear() { return linear_; }
  // Of convolution stage `l` over the part's `samples`: [channels, input channels, kernel] and
  // [channels].
  void weight_gradient(size_t l, int64_t samples, float* dw);
  void bias_gradient(size_t l, int64_t samples, float* db);

  // What one allocates.
  static size_t bytes(const Model& model, const ParameterLayout& layout, int64_t capacity);

 private:
  struct Stage {
    ConvOutputs outputs;  // of a convolution
    std::optional<TapTable> forward_taps, gradient_taps;
    PackedWeights forward_weights, gradient_weights;
    PanelBuffer activations;  // after activation and dropout
    PanelBuffer gradients;    // of what is before them
    Buffer<uint8_t> chosen;   // by a fused pooling, [panels][features][lanes]
  };

  LayerEnd end_of(const ImageStage& stage, uint32_t epoch) const;
  Panels input_of(size_t l, int64_t first, int64_t samples);
  uint8_t* chosen(size_t l, int64_t panel);
  void stage_forward(size_t l, const Batch& group, int64_t first, Mode mode);
  // The gradient of a convolution's rows [begin, end), and how many rows its planes have.
  struct Rows2d {
    const float* dy;
    int64_t rows;
  };
  Rows2d computed_gradient(size_t l, Panels pooled, int64_t panel, int64_t begin, int64_t end);

  const ParameterLayout& layout_;
  const float* values_;
  ConvPlan plan_;
  FeatureScaling scaling_;
  uint64_t seed_;
  Rows rows_;  // of a group
  PanelBuffer input_;
  std::vector<Stage> stages_;
  Buffer<float> computed_gradients_;  // of a convolution in front of its pooling, one panel
  std::optional<PanelNetwork> linear_;
};

}  // namespace lockstep
