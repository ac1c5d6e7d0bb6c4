#include "train/model_json.h"

#include <array>
#include <utility>
#include <variant>

#include "model/check_model.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

constexpr std::array kActivations = {std::pair{"none", Activation::none},
                                     std::pair{"relu", Activation::relu}};
constexpr std::array kLosses = {std::pair{"binary_cross_entropy", Loss::binary_cross_entropy},
                                std::pair{"softmax_cross_entropy", Loss::softmax_cross_entropy}};
constexpr std::array kPools = {std::pair{"maxpool", PoolKind::max},
                               std::pair{"avgpool", PoolKind::average}};

struct LayerToJson {
  Json operator()(const Linear& linear) const {
    return {{"type", "linear"},
            {"inputs", linear.inputs},
            {"outputs", linear.outputs},
            {"activation", name_of(kActivations, linear.activation)}};
  }
  Json operator()(const Dropout& dropout) const { return {{"type", "dropout"}, {"p", dropout.p}}; }
  Json operator()(const Conv2d& conv) const {
    return {{"type", "conv"},
            {"input", image_to_json(conv.input)},
            {"channels", conv.channels},
            {"kernel", {conv.kernel_height, conv.kernel_width}},
            {"stride", conv.stride},
            {"padding", conv.padding},
            {"activation", name_of(kActivations, conv.activation)}};
  }
  Json operator()(const Pool2d& pool) const {
    return {{"type", name_of(kPools, pool.kind)},
            {"input", image_to_json(pool.input)},
            {"kernel", pool.kernel},
            {"stride", pool.stride}};
  }
  Json operator()(const Flatten& flatten) const {
    return {{"type", "flatten"}, {"input", image_to_json(flatten.input)}};
  }
};

int64_t width(const JsonField& field) {
  return field.integer(1, kMaxWidth);
}

Conv2d conv_from_json(const JsonField& field) {
  const JsonField kernel = field.at("kernel");
  if (kernel.size() != 2) kernel.fail("is not a height and a width");
  return {image_from_json(field.at("input")),
          width(field.at("channels")),
          width(kernel.element(0)),
          width(kernel.element(1)),
          width(field.at("stride")),
          field.at("padding").integer(0, kMaxWidth),
          value_of(kActivations, field.at("activation"))};
}

Layer layer_from_json(const JsonField& field) {
  const std::string type = field.at("type").text();
  if (type == "dropout") return Dropout{field.at("p").number()};
  if (type == "flatten") return Flatten{image_from_json(field.at("input"))};
  if (type == "conv") return conv_from_json(field);
  if (type == "maxpool" || type == "avgpool") {
    return Pool2d{value_of(kPools, field.at("type")), image_from_json(field.at("input")),
                  width(field.at("kernel")), width(field.at("stride"))};
  }
  if (type != "linear") field.at("type").fail("is not a layer that this version knows");
  return Linear{width(field.at("inputs")), width(field.at("outputs")),
                value_of(kActivations, field.at("activation"))};
}

}  // namespace

Json image_to_json(const ImageShape& image) {
  return {{"channels", image.channels}, {"height", image.height}, {"width", image.width}};
}

ImageShape image_from_json(const JsonField& field) {
  return {.channels = width(field.at("channels")),
          .height = width(field.at("height")),
          .width = width(field.at("width"))};
}

Json model_to_json(const Model& model) {
  Json layers = Json::array();
  for (const Layer& layer : model.layers) layers.push_back(std::visit(LayerToJson(), layer));
  Json json = {{"kind", model.kind},
               {"inputs", model.inputs},
               {"classes", model.classes},
               {"loss", name_of(kLosses, model.loss)},
               {"layers", layers}};
  if (model.image) json["image"] = image_to_json(*model.image);
  return json;
}

Model model_from_json(const JsonField& field) {
  Model model{.kind = field.at("kind").text(),
              .inputs = width(field.at("inputs")),
              .classes = static_cast<int>(field.at("classes").integer(2, kMaxWidth)),
              .layers = {},
              .loss = value_of(kLosses, field.at("loss"))};
  if (field.has("image")) model.image = image_from_json(field.at("image"));
  const JsonField layers = field.at("layers");
  for (size_t i = 0; i < layers.size(); ++i) {
    model.layers.push_back(layer_from_json(layers.element(i)));
  }
  return model;
}

Json torch_names(const Model& model) {
  Json names = Json::object();
  int module = 0;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const Layer& layer = model.layers[i];
    const bool parameters = !weight_shape(layer).empty();
    for (const char* part : {".weight", ".bias"}) {
      if (parameters) {
        names["layers." + std::to_string(i) + part] = std::to_string(module) + part;
      }
    }
    module += activation_of(layer) != Activation::none ? 2 : 1;
  }
  return names;
}

}  // namespace lockstep
