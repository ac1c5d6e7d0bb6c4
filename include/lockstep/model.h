// What is trained: an immutable list of layers and a loss.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lockstep/image.h"

namespace lockstep {

enum class Activation { none, relu };

// y = activation(x W^T + b): x [B, inputs], W [outputs, inputs], b [outputs], y [B, outputs].
struct Linear {
  int64_t inputs = 0;
  int64_t outputs = 0;
  Activation activation = Activation::none;
};

// Inverted dropout (Srivastava et al. 2014): in training a unit is zero with probability p, else
// divided by 1 - p; in evaluation the identity. Keyed by (seed, epoch, sample, layer, unit).
struct Dropout {
  double p = 0.0;
};

// Two-dimensional cross-correlation, what the field calls convolution:
//   y[o, i, j] = activation(b[o] + sum over c, u, v of
//                           W[o, c, u, v] x[c, i stride + u - padding, j stride + v - padding])
// with zeros outside x. x is [B, input], W [channels, input.channels, kernel_height, kernel_width],
// b [channels], y [B, output()].
struct Conv2d {
  ImageShape input;
  int64_t channels = 0;
  int64_t kernel_height = 0, kernel_width = 0;
  int64_t stride = 1;
  int64_t padding = 0;  // on each side; less than either side of the kernel
  Activation activation = Activation::none;
  ImageShape output() const;
  // Weights of one output channel.
  int64_t fan_in() const { return input.channels * kernel_height * kernel_width; }
};

enum class PoolKind { max, average };

// The largest value, or the mean, of each window of kernel x kernel pixels of a plane. Rows and
// columns beyond the last whole window are left out. Of equal values the first in the order of
// rows is the largest: it alone receives the gradient.
struct Pool2d {
  PoolKind kind = PoolKind::max;
  ImageShape input;
  int64_t kernel = 0;
  int64_t stride = 0;
  ImageShape output() const;
};

// An image as a row of features, in the order in which it lies.
struct Flatten {
  ImageShape input;
};

using Layer = std::variant<Linear, Dropout, Conv2d, Pool2d, Flatten>;

// [outputs, inputs] of a Linear, [channels, input channels, kernel height, kernel width] of a
// Conv2d; empty for a layer without parameters. The first is the length of the bias.
std::vector<int64_t> weight_shape(const Layer& layer);

// Of a Linear or Conv2d; none for others.
Activation activation_of(const Layer& layer);

// Floating-point operations of one sample's forward pass in products, two a multiply-add.
double forward_flop(const Layer& layer);

// As --layers writes it, without its activation: "conv 32 3", "maxpool 2", "linear 10".
std::string to_string(const Layer& layer);

enum class Loss {
  binary_cross_entropy,   // one output, a logit; classes 0 and 1
  softmax_cross_entropy,  // one output a class
};

struct Model {
  std::string kind;  // "logistic", "mlp", "cnn", "lenet", "layers": as the user named it
  int64_t inputs = 0;
  int classes = 0;
  std::vector<Layer> layers;
  Loss loss = Loss::softmax_cross_entropy;
  std::optional<ImageShape> image = {};  // what `inputs` is the size of, where a layer asks

  // Floating-point operations of one sample's training step (forward 2, backward 4 a weight and
  // use of it; the first layer with parameters computes no input gradient), the figure that
  // rooflines are drawn with.
  double flop_per_sample() const;
  int64_t parameter_count() const;
  // Does any layer see an image?
  bool convolutional() const;
};

// What layer `index` puts out, as one line of a table of them shows it.
struct LayerSummary {
  std::string text;   // "conv 32 3, relu"
  ImageShape output;  // of a flat one channels alone count
  bool flat = false;
  int64_t parameters = 0;
  double flop = 0.0;  // of one sample's training step
};
std::vector<LayerSummary> summarize(const Model& model);

// Logistic regression: Linear(inputs, 1) with binary cross-entropy for two classes,
// Linear(inputs, classes) with softmax cross-entropy for more.
Model make_logistic(int64_t inputs, int classes);

// Linear + ReLU (+ Dropout where p > 0) for each entry of `hidden`, then Linear to the classes;
// softmax cross-entropy. Throws Error{usage} for a width < 1 or p outside [0, 1).
Model make_mlp(int64_t inputs, const std::vector<int64_t>& hidden, int classes, double dropout);

// The network that `text` describes, layer by layer, separated by commas:
//   conv CHANNELS KERNEL [stride S] [pad P]   KERNEL is 3, or 3x5 for height x width
//   maxpool KERNEL [stride S]                 windows side by side without S
//   avgpool KERNEL [stride S]
//   flatten | linear OUTPUTS | relu | dropout P
// relu belongs to the conv or linear layer before it. The loss is binary cross-entropy for one
// output, else softmax cross-entropy. `image` is the shape of the data where they are images.
// Throws Error{usage} that names the layer and the sizes where they do not fit together.
Model make_layers(const std::string& text, const std::optional<ImageShape>& image, int64_t inputs,
                  int classes);

// The small network of the published CIFAR-10 studies: two convolutions of 3 x 3 (32 and 64
// channels), each with ReLU and 2 x 2 max pooling, then linear layers of 128 and `classes`.
Model make_cnn(const std::optional<ImageShape>& image, int64_t inputs, int classes);

// LeNet-5 (LeCun et al. 1998, fig. 2) as it is used today: ReLU, max pooling, a linear output;
// padding 2 in the first layer for images of 28 x 28, whose authors had them enlarged to 32 x 32.
Model make_lenet(const std::optional<ImageShape>& image, int64_t inputs, int classes);

}  // namespace lockstep
