// A model as the CPU's steps run it: linear stages with what is fused behind each.
#pragma once

#include <vector>

#include "lockstep/model.h"

namespace lockstep {

// A dropout layer that follows a stage (or the input); `layer` < 0: none.
struct DropoutSpec {
  int layer = -1;  // index into Model::layers
  double p = 0.0;
  bool present() const { return layer >= 0; }
};

struct LinearStage {
  int layer = 0;  // index into Model::layers
  int64_t inputs = 0;
  int64_t outputs = 0;
  Activation activation = Activation::none;
  DropoutSpec dropout;
};

struct MlpPlan {
  DropoutSpec input_dropout;
  std::vector<LinearStage> stages;
  Loss loss = Loss::softmax_cross_entropy;
};

// Throws Error{usage} for a model that the CPU cannot run: no linear layer, shapes that do not fit
// together, two dropout layers in a row, an output that does not fit the loss.
MlpPlan plan_mlp(const Model& model);

// The same of the layers from `first` on, which take `width` features; there may be none.
MlpPlan plan_linear(const Model& model, size_t first, int64_t width);

}  // namespace lockstep
