// What is trained: an immutable list of layers and a loss.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

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

using Layer = std::variant<Linear, Dropout>;

enum class Loss {
  binary_cross_entropy,   // one output, a logit; classes 0 and 1
  softmax_cross_entropy,  // one output a class
};

struct Model {
  std::string kind;  // "logistic", "mlp": as the user named it
  int64_t inputs = 0;
  int classes = 0;
  std::vector<Layer> layers;
  Loss loss = Loss::softmax_cross_entropy;

  // Floating-point operations of one sample's training step (forward 2, backward 4 a weight; the
  // first layer computes no input gradient), the figure that rooflines are drawn with.
  double flop_per_sample() const;
  int64_t parameter_count() const;
};

// Logistic regression: Linear(inputs, 1) with binary cross-entropy for two classes,
// Linear(inputs, classes) with softmax cross-entropy for more.
Model make_logistic(int64_t inputs, int classes);

// Linear + ReLU (+ Dropout where p > 0) for each entry of `hidden`, then Linear to the classes;
// softmax cross-entropy. Throws Error{usage} for a width < 1 or p outside [0, 1).
Model make_mlp(int64_t inputs, const std::vector<int64_t>& hidden, int classes, double dropout);

}  // namespace lockstep
