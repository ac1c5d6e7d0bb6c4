#include "lockstep/model.h"

#include <algorithm>
#include <string>

#include "lockstep/error.h"
#include "model/check_model.h"
#include "model/make_model.h"

namespace lockstep {
namespace {

void check_size(const Model& model) {
  if (const std::string problem = problem_with(model); !problem.empty()) {
    throw Error(ErrorKind::usage, "the model cannot be built: " + problem,
                "give fewer or smaller numbers in --hidden");
  }
}

}  // namespace

void check_data(int64_t inputs, int classes) {
  if (inputs < 1 || inputs > kMaxWidth) {
    throw Error(ErrorKind::data,
                "the data has " + std::to_string(inputs) +
                    " features; a model needs between 1 and " + std::to_string(kMaxWidth),
                "check the data with 'lockstep data info SPEC'");
  }
  if (classes == 0) {
    throw Error(ErrorKind::data, "the data has no labels: training needs some",
                "name them: idx:IMAGES,LABELS, npy:X,Y or csv:FILE,label=NAME");
  }
  if (classes < 2) {
    throw Error(ErrorKind::data,
                "the data has " + std::to_string(classes) + (classes == 1 ? " class" : " classes") +
                    "; a classifier needs at least 2",
                "check the label column with 'lockstep data info SPEC'");
  }
}

int64_t Model::parameter_count() const {
  int64_t count = 0;
  for (const LayerSummary& layer : summarize(*this)) count += layer.parameters;
  return count;
}

double Model::flop_per_sample() const {
  double flop = 0.0;
  for (const LayerSummary& layer : summarize(*this)) flop += layer.flop;
  return flop;
}

bool Model::convolutional() const {
  return std::any_of(layers.begin(), layers.end(), [](const Layer& layer) {
    return std::holds_alternative<Conv2d>(layer) || std::holds_alternative<Pool2d>(layer) ||
           std::holds_alternative<Flatten>(layer);
  });
}

std::vector<LayerSummary> summarize(const Model& model) {
  std::vector<LayerSummary> all;
  bool first = true;  // with parameters
  bool flat = !model.convolutional();
  ImageShape shape = flat || !model.image ? ImageShape{model.inputs, 1, 1} : *model.image;
  for (const Layer& layer : model.layers) {
    LayerSummary summary;
    summary.text = to_string(layer);
    if (activation_of(layer) == Activation::relu) summary.text += ", relu";
    if (const auto* conv = std::get_if<Conv2d>(&layer)) shape = conv->output();
    if (const auto* pool = std::get_if<Pool2d>(&layer)) shape = pool->output();
    if (std::holds_alternative<Flatten>(layer)) {
      shape = {shape.size(), 1, 1};
      flat = true;
    }
    if (const auto* linear = std::get_if<Linear>(&layer)) shape = {linear->outputs, 1, 1};
    summary.output = shape;
    summary.flat = flat;
    if (const std::vector<int64_t> weight = weight_shape(layer); !weight.empty()) {
      int64_t fan_in = 1;
      for (size_t i = 1; i < weight.size(); ++i) fan_in *= weight[i];
      summary.parameters = (fan_in + 1) * weight[0];
      summary.flop = forward_flop(layer) * (first ? 2.0 : 3.0);
      first = false;
    }
    all.push_back(std::move(summary));
  }
  return all;
}

Model make_logistic(int64_t inputs, int classes) {
  check_data(inputs, classes);
  Model model{.kind = "logistic", .inputs = inputs, .classes = classes, .layers = {}};
  if (classes == 2) {
    model.loss = Loss::binary_cross_entropy;
    model.layers = {Linear{inputs, 1, Activation::none}};
  } else {
    model.loss = Loss::softmax_cross_entropy;
    model.layers = {Linear{inputs, classes, Activation::none}};
  }
  check_size(model);
  return model;
}

Model make_mlp(int64_t inputs, const std::vector<int64_t>& hidden, int classes, double dropout) {
  check_data(inputs, classes);
  if (!(dropout >= 0.0 && dropout < 1.0)) {  // also refuses NaN
    throw Error(ErrorKind::usage, "--dropout " + std::to_string(dropout) + " is not in [0, 1)",
                "give the probability of dropping a unit, for example --dropout 0.2");
  }
  Model model{.kind = "mlp", .inputs = inputs, .classes = classes, .layers = {}};
  int64_t width = inputs;
  for (const int64_t units : hidden) {
    if (units < 1 || units > kMaxWidth) {
      throw Error(ErrorKind::usage,
                  "--hidden " + std::to_string(units) + ": a layer has between 1 and " +
                      std::to_string(kMaxWidth) + " units",
                  "give the hidden layers' widths, for example --hidden 256,128");
    }
    model.layers.push_back(Linear{width, units, Activation::relu});
    if (dropout > 0.0) model.layers.push_back(Dropout{dropout});
    width = units;
  }
  model.layers.push_back(Linear{width, classes, Activation::none});
  check_size(model);
  return model;
}

}  // namespace lockstep
