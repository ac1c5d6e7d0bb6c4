// What can be said of a layer alone.
#include <fmt/format.h>

#include "lockstep/model.h"

namespace lockstep {
namespace {

int64_t windows(int64_t length, int64_t kernel, int64_t stride) {
  return length < kernel ? 0 : (length - kernel) / stride + 1;
}

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace

ImageShape Conv2d::output() const {
  return {channels, windows(input.height + 2 * padding, kernel_height, stride),
          windows(input.width + 2 * padding, kernel_width, stride)};
}

ImageShape Pool2d::output() const {
  return {input.channels, windows(input.height, kernel, stride),
          windows(input.width, kernel, stride)};
}

std::vector<int64_t> weight_shape(const Layer& layer) {
  if (const auto* linear = std::get_if<Linear>(&layer)) return {linear->outputs, linear->inputs};
  if (const auto* conv = std::get_if<Conv2d>(&layer)) {
    return {conv->channels, conv->input.channels, conv->kernel_height, conv->kernel_width};
  }
  return {};
}

Activation activation_of(const Layer& layer) {
  if (const auto* linear = std::get_if<Linear>(&layer)) return linear->activation;
  if (const auto* conv = std::get_if<Conv2d>(&layer)) return conv->activation;
  return Activation::none;
}

double forward_flop(const Layer& layer) {
  double flop = 2.0;
  const std::vector<int64_t> shape = weight_shape(layer);
  if (shape.empty()) return 0.0;
  for (const int64_t extent : shape) flop *= static_cast<double>(extent);
  if (const auto* conv = std::get_if<Conv2d>(&layer)) {
    flop *= static_cast<double>(conv->output().pixels());
  }
  return flop;
}

std::string to_string(const Layer& layer) {
  const auto side = [](int64_t height, int64_t width) {
    return height == width ? fmt::format("{}", height) : fmt::format("{}x{}", height, width);
  };
  return std::visit(
      Overloaded{[](const Linear& linear) { return fmt::format("linear {}", linear.outputs); },
                 [](const Dropout& dropout) { return fmt::format("dropout {}", dropout.p); },
                 [&](const Conv2d& conv) {
                   return fmt::format("conv {} {}{}{}", conv.channels,
                                      side(conv.kernel_height, conv.kernel_width),
                                      conv.stride > 1 ? fmt::format(" stride {}", conv.stride) : "",
                                      conv.padding > 0 ? fmt::format(" pad {}", conv.padding) : "");
                 },
                 [](const Pool2d& pool) {
                   return fmt::format(
                       "{} {}{}", pool.kind == PoolKind::max ? "maxpool" : "avgpool", pool.kernel,
                       pool.stride != pool.kernel ? fmt::format(" stride {}", pool.stride) : "");
                 },
                 [](const Flatten&) { return std::string("flatten"); }},
      layer);
}

}  // namespace lockstep
