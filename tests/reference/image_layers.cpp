#include "reference/image_layers.h"

#include <cmath>

namespace lockstep::reference {
namespace {

int64_t at(const ImageShape& image, int64_t c, int64_t y, int64_t x) {
  return (c * image.height + y) * image.width + x;
}

double operand(double value, Operands operands) {
  return operands == Operands::bf16 ? to_bf16(value) : value;
}

// Calls visit(i, o, y, x, weight index, input index) for each product of a convolution of `rows`
// images, those with zeros beyond the edge left out.
template <class Visit>
void for_each_product(int64_t rows, const Conv2d& layer, const Visit& visit) {
  const ImageShape output = layer.output();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t o = 0; o < output.channels; ++o) {
      for (int64_t y = 0; y < output.height; ++y) {
        for (int64_t x = 0; x < output.width; ++x) {
          for (int64_t c = 0; c < layer.input.channels; ++c) {
            for (int64_t u = 0; u < layer.kernel_height; ++u) {
              for (int64_t v = 0; v < layer.kernel_width; ++v) {
                const int64_t from_y = y * layer.stride + u - layer.padding;
                const int64_t from_x = x * layer.stride + v - layer.padding;
                if (from_y < 0 || from_y >= layer.input.height) continue;
                if (from_x < 0 || from_x >= layer.input.width) continue;
                const int64_t weight = ((o * layer.input.channels + c) * layer.kernel_height + u) *
                                           layer.kernel_width +
                                       v;
                visit(i, at(output, o, y, x), weight, at(layer.input, c, from_y, from_x));
              }
            }
          }
        }
      }
    }
  }
}

// Calls visit(output index, window's first input index) for each window of one image.
template <class Visit>
void for_each_window(const Pool2d& layer, const Visit& visit) {
  const ImageShape output = layer.output();
  for (int64_t c = 0; c < output.channels; ++c) {
    for (int64_t y = 0; y < output.height; ++y) {
      for (int64_t x = 0; x < output.width; ++x) {
        visit(at(output, c, y, x), at(layer.input, c, y * layer.stride, x * layer.stride));
      }
    }
  }
}

// Where the largest value of a window is: the first of equal ones. NaN counts as the largest.
int64_t largest(const Table& x, int64_t i, int64_t first, const Pool2d& layer) {
  int64_t best = first;
  for (int64_t u = 0; u < layer.kernel; ++u) {
    for (int64_t v = 0; v < layer.kernel; ++v) {
      const int64_t j = first + u * layer.input.width + v;
      if (x.at(i, j) > x.at(i, best) || std::isnan(x.at(i, j))) best = j;
    }
  }
  return best;
}

}  // namespace

Table convolution(const Table& x, const double* weight, const double* bias, const Conv2d& layer,
                  Operands operands) {
  const ImageShape output = layer.output();
  Table y(x.rows, output.size());
  for (int64_t i = 0; i < y.rows; ++i) {
    for (int64_t j = 0; j < y.columns; ++j) y.at(i, j) = bias[j / output.pixels()];
  }
  for_each_product(x.rows, layer, [&](int64_t i, int64_t out, int64_t w, int64_t in) {
    y.at(i, out) += operand(weight[w], operands) * operand(x.at(i, in), operands);
  });
  for (double& value : y.data) {
    if (layer.activation == Activation::relu && value <= 0.0) value = 0.0;
  }
  return y;
}

Table convolution_backward(const Table& x, const Table& y, Table& dy, const double* weight,
                           const Conv2d& layer, double* weight_gradient, double* bias_gradient,
                           Operands operands) {
  for (int64_t i = 0; i < dy.rows; ++i) {
    for (int64_t j = 0; j < dy.columns; ++j) {
      if (layer.activation == Activation::relu && y.at(i, j) <= 0.0) dy.at(i, j) = 0.0;
      bias_gradient[j / layer.output().pixels()] += dy.at(i, j);
    }
  }
  Table dx(x.rows, x.columns);
  for_each_product(x.rows, layer, [&](int64_t i, int64_t out, int64_t w, int64_t in) {
    const double gradient = operand(dy.at(i, out), operands);
    weight_gradient[w] += gradient * operand(x.at(i, in), operands);
    dx.at(i, in) += gradient * operand(weight[w], operands);
  });
  return dx;
}

Table pooling(const Table& x, const Pool2d& layer) {
  Table y(x.rows, layer.output().size());
  for (int64_t i = 0; i < x.rows; ++i) {
    for_each_window(layer, [&](int64_t out, int64_t first) {
      if (layer.kind == PoolKind::max) {
        y.at(i, out) = x.at(i, largest(x, i, first, layer));
        return;
      }
      double sum = 0.0;
      for (int64_t u = 0; u < layer.kernel; ++u) {
        for (int64_t v = 0; v < layer.kernel; ++v)
          sum += x.at(i, first + u * layer.input.width + v);
      }
      y.at(i, out) = sum / static_cast<double>(layer.kernel * layer.kernel);
    });
  }
  return y;
}

Table pooling_backward(const Table& x, const Table& dy, const Pool2d& layer) {
  Table dx(x.rows, x.columns);
  for (int64_t i = 0; i < x.rows; ++i) {
    for_each_window(layer, [&](int64_t out, int64_t first) {
      if (layer.kind == PoolKind::max) {
        dx.at(i, largest(x, i, first, layer)) += dy.at(i, out);
        return;
      }
      for (int64_t u = 0; u < layer.kernel; ++u) {
        for (int64_t v = 0; v < layer.kernel; ++v) {
          dx.at(i, first + u * layer.input.width + v) +=
              dy.at(i, out) / static_cast<double>(layer.kernel * layer.kernel);
        }
      }
    });
  }
  return dx;
}

}  // namespace lockstep::reference
