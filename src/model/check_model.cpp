#include "model/check_model.h"

namespace lockstep {
namespace {

std::string problem_with_outputs(const Model& model, int64_t outputs) {
  if (model.classes < 2) return std::to_string(model.classes) + " classes; at least 2 are needed";
  if (model.loss == Loss::binary_cross_entropy) {
    if (outputs == 1 && model.classes == 2) return {};
    return "binary cross-entropy needs 1 output and 2 classes, not " + std::to_string(outputs) +
           " and " + std::to_string(model.classes);
  }
  if (outputs == model.classes) return {};
  return std::to_string(outputs) + " outputs for " + std::to_string(model.classes) + " classes";
}

bool width_ok(int64_t width) {
  return width >= 1 && width <= kMaxWidth;
}

}  // namespace

std::string problem_with(const Model& model) {
  if (model.layers.size() > kMaxLayers) {
    return std::to_string(model.layers.size()) + " layers; at most " + std::to_string(kMaxLayers) +
           " are supported";
  }
  int64_t width = model.inputs;
  int64_t parameters = 0;  // cannot overflow: a layer adds less than 2^62 and the sum stays < 2^40
  bool any_linear = false;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const std::string where = "layer " + std::to_string(i) + ": ";
    if (const auto* dropout = std::get_if<Dropout>(&model.layers[i])) {
      if (!(dropout->p >= 0.0 && dropout->p < 1.0)) {  // also refuses NaN
        return where + "dropout " + std::to_string(dropout->p) + " is not in [0, 1)";
      }
      continue;
    }
    const auto& linear = std::get<Linear>(model.layers[i]);
    if (!width_ok(linear.inputs) || !width_ok(linear.outputs)) {
      return where + "widths must be between 1 and " + std::to_string(kMaxWidth);
    }
    if (linear.inputs != width) {
      return where + std::to_string(linear.inputs) + " inputs follow " + std::to_string(width) +
             " outputs";
    }
    parameters += (linear.inputs + 1) * linear.outputs;
    if (parameters > kMaxParameters) return "more than 2^40 parameters";
    width = linear.outputs;
    any_linear = true;
  }
  if (!any_linear) return "no layer with parameters";
  return problem_with_outputs(model, width);
}

}  // namespace lockstep
