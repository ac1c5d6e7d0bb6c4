// A convolutional model as the CPU's step runs it: stages on images, then linear ones.
#pragma once

#include <optional>
#include <vector>

#include "backend/mlp_plan.h"
#include "lockstep/model.h"

namespace lockstep {

// A convolution with the pooling that is fused behind it, or a pooling alone; then dropout.
struct ImageStage {
  int layer = -1;              // of the convolution, an index into Model::layers
  std::optional<Conv2d> conv;  // absent: a pooling alone
  std::optional<Pool2d> pool;  // behind a convolution: max, windows side by side
  DropoutSpec dropout;

  ImageShape input() const { return conv ? conv->input : pool->input; }
  ImageShape output() const { return pool ? pool->output() : conv->output(); }
  Activation activation() const { return conv ? conv->activation : Activation::none; }
  // Outputs of the convolution that are computed: those that a fused pooling keeps.
  ImageShape computed() const;
};

struct ConvPlan {
  DropoutSpec input_dropout;
  std::vector<ImageStage> images;
  MlpPlan linear;  // of the flattened last image; maybe no stage
};

// Throws Error{usage} for a model that the CPU cannot run. REQUIRES: model.convolutional() and
// problem_with(model) is empty.
ConvPlan plan_conv(const Model& model);

}  // namespace lockstep
