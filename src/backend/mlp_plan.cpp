#include "backend/mlp_plan.h"

#include <string>

#include "lockstep/error.h"

namespace lockstep {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::usage, "the CPU backend cannot run this model: " + what,
              "use a model of linear layers, each with at most one dropout layer behind it");
}

void add_dropout(MlpPlan& plan, int layer, double p) {
  if (p <= 0.0) return;
  if (p >= 1.0) refuse("dropout of " + std::to_string(p) + " keeps nothing");
  DropoutSpec& place = plan.stages.empty() ? plan.input_dropout : plan.stages.back().dropout;
  if (place.present()) refuse("layer " + std::to_string(layer) + " is a second dropout in a row");
  place = {layer, p};
}

}  // namespace

MlpPlan plan_linear(const Model& model, size_t first, int64_t width) {
  MlpPlan plan;
  plan.loss = model.loss;
  for (size_t i = first; i < model.layers.size(); ++i) {
    const int layer = static_cast<int>(i);
    if (const auto* dropout = std::get_if<Dropout>(&model.layers[i])) {
      add_dropout(plan, layer, dropout->p);
      continue;
    }
    const auto* found = std::get_if<Linear>(&model.layers[i]);
    if (!found) refuse("layer " + std::to_string(layer) + " sees an image");
    const Linear& linear = *found;
    if (linear.inputs != width || linear.outputs < 1) {
      refuse("layer " + std::to_string(layer) + " takes " + std::to_string(linear.inputs) +
             " inputs where it gets " + std::to_string(width));
    }
    plan.stages.push_back({layer, linear.inputs, linear.outputs, linear.activation, {}});
    width = linear.outputs;
  }
  const auto is_plain = [](const LinearStage& stage) {
    return stage.activation == Activation::none && !stage.dropout.present();
  };
  if (!plan.stages.empty() && !is_plain(plan.stages.back())) {
    refuse("its last layer must give logits, without activation or dropout");
  }
  if (model.loss == Loss::binary_cross_entropy && width != 1) {
    refuse("binary cross-entropy needs one output, not " + std::to_string(width));
  }
  if (model.loss == Loss::softmax_cross_entropy && width < model.classes) {
    refuse(std::to_string(model.classes) + " classes need as many outputs, not " +
           std::to_string(width));
  }
  return plan;
}

MlpPlan plan_mlp(const Model& model) {
  MlpPlan plan = plan_linear(model, 0, model.inputs);
  if (plan.stages.empty()) refuse("it has no linear layer");
  return plan;
}

}  // namespace lockstep
