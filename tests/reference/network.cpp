#include "reference/network.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <variant>

#include "lockstep/rng.h"
#include "reference/image_layers.h"

namespace lockstep::reference {
namespace {

double entry(const std::vector<float>& values, int64_t j, double otherwise) {
  if (values.empty()) return otherwise;
  return values.size() == 1 ? values[0] : values[j];
}

}  // namespace

// bfloat16 has 8 significant bits and float32's exponents.
double to_bf16(double value) {
  if (!std::isfinite(value)) return value;
  int exponent = 0;
  const double significand = std::frexp(static_cast<float>(value), &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(significand, 8)), exponent - 8);
}

namespace {

Table operand(Table values, Operands operands) {
  if (operands == Operands::exact) return values;
  for (double& value : values.data) value = to_bf16(value);
  return values;
}

Table weight_operand(const double* weight, const Linear& layer, Operands operands) {
  Table w(layer.outputs, layer.inputs);
  std::copy_n(weight, w.data.size(), w.data.begin());
  return operand(std::move(w), operands);
}

Table linear(const Table& inputs, const double* weight, const double* bias, const Linear& layer,
             Operands operands) {
  const Table x = operand(inputs, operands), w = weight_operand(weight, layer, operands);
  Table y(x.rows, layer.outputs);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t o = 0; o < layer.outputs; ++o) {
      double sum = bias[o];
      for (int64_t k = 0; k < layer.inputs; ++k) sum += x.at(i, k) * w.at(o, k);
      y.at(i, o) = layer.activation == Activation::relu && sum <= 0.0 ? 0.0 : sum;
    }
  }
  return y;
}

// dy is masked by y's ReLU in place; returns dx and writes the parameters' gradients.
Table linear_backward(const Table& inputs, const Table& y, Table& dy, const double* weight,
                      const Linear& layer, double* weight_gradient, double* bias_gradient,
                      Operands operands) {
  for (int64_t i = 0; i < dy.rows; ++i) {
    for (int64_t o = 0; o < layer.outputs; ++o) {
      if (layer.activation == Activation::relu && y.at(i, o) <= 0.0) dy.at(i, o) = 0.0;
      bias_gradient[o] += dy.at(i, o);
    }
  }
  const Table x = operand(inputs, operands), w = weight_operand(weight, layer, operands);
  const Table g = operand(dy, operands);
  Table dx(x.rows, layer.inputs);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t o = 0; o < layer.outputs; ++o) {
      for (int64_t k = 0; k < layer.inputs; ++k) {
        weight_gradient[o * layer.inputs + k] += g.at(i, o) * x.at(i, k);
        dx.at(i, k) += g.at(i, o) * w.at(o, k);
      }
    }
  }
  return dx;
}

// The image that training sees, from the normalised one; what lies beyond the edge is a raw zero.
void move_image(const Augmentation& augmentation, uint32_t epoch, int64_t sample,
                const Normalization& normalization, double* pixels) {
  const ImageShape& image = augmentation.image;
  const RandomStream stream{augmentation.seed, Purpose::augment, 0, epoch};
  const Philox4 words = stream.draw(static_cast<uint64_t>(sample), 0);
  const auto shift = [&](uint32_t word) {
    const double shifts = 2.0 * augmentation.crop + 1.0;
    return static_cast<int64_t>(std::floor(word * shifts * 0x1p-32)) - augmentation.crop;
  };
  const int64_t down = shift(words.x), right = shift(words.y);
  const bool mirrored = augmentation.flip && words.z >= 0x80000000u;
  const std::vector<double> still(pixels, pixels + image.size());
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t y = 0; y < image.height; ++y) {
      for (int64_t x = 0; x < image.width; ++x) {
        const int64_t from_y = y + down, from_x = (mirrored ? image.width - 1 - x : x) + right;
        const bool inside =
            from_y >= 0 && from_y < image.height && from_x >= 0 && from_x < image.width;
        const int64_t j = (c * image.height + y) * image.width + x;
        pixels[j] = inside ? still[(c * image.height + from_y) * image.width + from_x]
                           : entry(normalization.offset, j, 0.0);
      }
    }
  }
}

Table masked(const Table& x, const Batch& batch, uint64_t seed, int layer, double p) {
  Table y = x;
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t u = 0; u < x.columns; ++u) {
      y.at(i, u) =
          kept(seed, layer, batch.epoch, batch.sample(i), u, p) ? x.at(i, u) / (1.0 - p) : 0.0;
    }
  }
  return y;
}

// Adds to the result and returns the gradient with respect to the logits.
Table binary_loss(const Table& logits, const Batch& batch, Result& result) {
  Table dy(logits.rows, 1);
  for (int64_t i = 0; i < logits.rows; ++i) {
    const double x = logits.at(i, 0);
    const double y = batch.data->labels[batch.sample(i)];
    result.loss += std::max(x, 0.0) - x * y + std::log1p(std::exp(-std::fabs(x)));
    result.correct += (x > 0.0) == (y > 0.5);
    dy.at(i, 0) = 1.0 / (1.0 + std::exp(-x)) - y;
  }
  return dy;
}

Table softmax_loss(const Table& logits, const Batch& batch, Result& result) {
  Table dy(logits.rows, logits.columns);
  for (int64_t i = 0; i < logits.rows; ++i) {
    const int32_t label = batch.data->labels[batch.sample(i)];
    int64_t best = 0;
    for (int64_t j = 1; j < logits.columns; ++j) {
      if (logits.at(i, j) > logits.at(i, best)) best = j;
    }
    double sum = 0.0;
    for (int64_t j = 0; j < logits.columns; ++j) {
      sum += std::exp(logits.at(i, j) - logits.at(i, best));
    }
    result.loss += std::log(sum) + logits.at(i, best) - logits.at(i, label);
    result.correct += best == label;
    for (int64_t j = 0; j < logits.columns; ++j) {
      dy.at(i, j) = std::exp(logits.at(i, j) - logits.at(i, best)) / sum - (j == label);
    }
  }
  return dy;
}

double element(const FeatureMatrix& features, int64_t i) {
  switch (features.type) {
    case FeatureType::float32: return static_cast<const float*>(features.data)[i];
    case FeatureType::uint8: return static_cast<const uint8_t*>(features.data)[i];
    case FeatureType::bfloat16: break;
  }
  const uint32_t upper_half = static_cast<const uint16_t*>(features.data)[i];
  return std::bit_cast<float>(upper_half << 16);
}

}  // namespace

Table decode(const Batch& batch, const Normalization& normalization) {
  const FeatureMatrix& features = batch.data->features;
  Table x(batch.size(), features.columns);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.columns; ++j) {
      const int64_t row = batch.sample(i);
      const double raw = element(features, row * features.columns + j);
      x.at(i, j) = raw * entry(normalization.scale, j, 1.0) + entry(normalization.offset, j, 0.0);
    }
    if (batch.augmentation) {
      move_image(*batch.augmentation, batch.epoch, batch.sample(i), normalization, &x.at(i, 0));
    }
  }
  return x;
}

bool kept(uint64_t seed, int layer, uint32_t epoch, int64_t sample, int64_t unit, double p) {
  const RandomStream stream{seed, Purpose::dropout, static_cast<uint8_t>(layer), epoch};
  return stream.word(sample, static_cast<uint32_t>(unit)) >= dropout_threshold(p);
}

Result run(const Model& model, const ParameterLayout& layout, std::span<const double> values,
           const Batch& batch, const Normalization& normalization, DropoutMode dropout,
           uint64_t seed, Operands operands) {
  std::vector<Table> outputs = {decode(batch, normalization)};
  for (size_t l = 0; l < model.layers.size(); ++l) {
    const int layer = static_cast<int>(l);
    const Table& x = outputs.back();
    const auto weight = [&] { return &values[layout.weight(layer).offset]; };
    const auto bias = [&] { return &values[layout.bias(layer).offset]; };
    if (const auto* spec = std::get_if<Linear>(&model.layers[l])) {
      outputs.push_back(linear(x, weight(), bias(), *spec, operands));
    } else if (const auto* conv = std::get_if<Conv2d>(&model.layers[l])) {
      outputs.push_back(convolution(x, weight(), bias(), *conv, operands));
    } else if (const auto* pool = std::get_if<Pool2d>(&model.layers[l])) {
      outputs.push_back(pooling(x, *pool));
    } else if (const auto* drop = std::get_if<Dropout>(&model.layers[l])) {
      const bool drops = dropout == DropoutMode::on && drop->p > 0.0;
      outputs.push_back(drops ? masked(x, batch, seed, layer, drop->p) : x);
    } else {
      outputs.push_back(x);  // Flatten: the order stays
    }
  }
  Result result;
  result.gradients.assign(layout.size(), 0.0);
  result.logits = outputs.back();
  Table dy = model.loss == Loss::binary_cross_entropy ? binary_loss(result.logits, batch, result)
                                                      : softmax_loss(result.logits, batch, result);
  for (size_t l = model.layers.size(); l-- > 0;) {
    const int layer = static_cast<int>(l);
    const auto weight = [&] { return &values[layout.weight(layer).offset]; };
    const auto weight_gradient = [&] { return &result.gradients[layout.weight(layer).offset]; };
    const auto bias_gradient = [&] { return &result.gradients[layout.bias(layer).offset]; };
    if (const auto* spec = std::get_if<Linear>(&model.layers[l])) {
      dy = linear_backward(outputs[l], outputs[l + 1], dy, weight(), *spec, weight_gradient(),
                           bias_gradient(), operands);
    } else if (const auto* conv = std::get_if<Conv2d>(&model.layers[l])) {
      dy = convolution_backward(outputs[l], outputs[l + 1], dy, weight(), *conv, weight_gradient(),
                                bias_gradient(), operands);
    } else if (const auto* pool = std::get_if<Pool2d>(&model.layers[l])) {
      dy = pooling_backward(outputs[l], dy, *pool);
    } else if (const auto* drop = std::get_if<Dropout>(&model.layers[l])) {
      if (dropout == DropoutMode::on) dy = masked(dy, batch, seed, layer, drop->p);
    }
  }
  return result;
}

}  // namespace lockstep::reference
