#include "model/check_model.h"

#include <algorithm>
#include <optional>
#include <variant>

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

// All three sides and their product within kMaxWidth.
bool image_ok(const ImageShape& image) {
  return width_ok(image.channels) && width_ok(image.height) && width_ok(image.width) &&
         image.pixels() <= kMaxWidth && image.pixels() <= kMaxWidth / image.channels;
}

// Walks through the layers with the shape in front of each; every check returns what is wrong.
class Checker {
 public:
  explicit Checker(const Model& model) : width_(model.inputs) {
    if (model.convolutional()) image_ = model.image;
  }

  std::string operator()(const Linear& linear) {
    if (image_) return "a linear layer's input is an image";
    if (!width_ok(linear.inputs) || !width_ok(linear.outputs)) {
      return "widths must be between 1 and " + std::to_string(kMaxWidth);
    }
    if (linear.inputs != width_) {
      return std::to_string(linear.inputs) + " inputs follow " + std::to_string(width_) +
             " outputs";
    }
    width_ = linear.outputs;
    return add_parameters(linear.inputs, linear.outputs);
  }

  std::string operator()(const Dropout& dropout) {
    if (dropout.p >= 0.0 && dropout.p < 1.0) return {};  // also refuses NaN
    return "dropout " + std::to_string(dropout.p) + " is not in [0, 1)";
  }

  std::string operator()(const Conv2d& conv) {
    if (const std::string problem = with_input(conv.input); !problem.empty()) return problem;
    if (!width_ok(conv.channels) || !width_ok(conv.kernel_height) || !width_ok(conv.kernel_width) ||
        !width_ok(conv.stride)) {
      return "channels, kernel and stride must be between 1 and " + std::to_string(kMaxWidth);
    }
    if (conv.padding < 0 || conv.padding >= std::min(conv.kernel_height, conv.kernel_width)) {
      return "a padding of " + std::to_string(conv.padding) + " is not below the kernel's sides";
    }
    const int64_t kernel = conv.kernel_height * conv.kernel_width;
    if (kernel > kMaxWidth || kernel > kMaxWidth / conv.input.channels) {
      return "a kernel has more than " + std::to_string(kMaxWidth) + " weights";
    }
    if (const std::string problem = put_out(conv.output()); !problem.empty()) return problem;
    return add_parameters(conv.fan_in(), conv.channels);
  }

  std::string operator()(const Pool2d& pool) {
    if (const std::string problem = with_input(pool.input); !problem.empty()) return problem;
    if (!width_ok(pool.kernel) || !width_ok(pool.stride)) {
      return "kernel and stride must be between 1 and " + std::to_string(kMaxWidth);
    }
    return put_out(pool.output());
  }

  std::string operator()(const Flatten& flatten) {
    if (const std::string problem = with_input(flatten.input); !problem.empty()) return problem;
    image_.reset();
    return {};
  }

  // What is wrong with the end.
  std::string end(const Model& model) const {
    if (image_) return "it ends in an image";
    if (parameters_ == 0) return "no layer with parameters";
    return problem_with_outputs(model, width_);
  }

 private:
  std::string with_input(const ImageShape& input) const {
    if (!image_) return "its input is not an image";
    if (!(input == *image_) || !image_ok(input) || input.size() != width_) {
      return "its input is not what the layer before it puts out";
    }
    return {};
  }

  std::string put_out(const ImageShape& output) {
    if (!image_ok(output)) return "its output is empty or too large";
    image_ = output;
    width_ = output.size();
    return {};
  }

  // Cannot overflow: a layer adds less than 2^62 and the sum stays below 2^40.
  std::string add_parameters(int64_t inputs, int64_t outputs) {
    parameters_ += (inputs + 1) * outputs;
    return parameters_ > kMaxParameters ? "more than 2^40 parameters" : "";
  }

  std::optional<ImageShape> image_;
  int64_t width_;
  int64_t parameters_ = 0;
};

}  // namespace

std::string problem_with(const Model& model) {
  if (model.layers.size() > kMaxLayers) {
    return std::to_string(model.layers.size()) + " layers; at most " + std::to_string(kMaxLayers) +
           " are supported";
  }
  Checker checker(model);
  for (size_t i = 0; i < model.layers.size(); ++i) {
    if (std::string problem = std::visit(checker, model.layers[i]); !problem.empty()) {
      return problem.starts_with("more than") ? problem
                                              : "layer " + std::to_string(i) + ": " + problem;
    }
  }
  return checker.end(model);
}

}  // namespace lockstep
