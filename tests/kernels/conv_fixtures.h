// What the tests of convolutions share: problems with awkward sizes, images in both orders, the
// float64 oracle's results and how far a kernel may be from them.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/conv_shape.h"
#include "kernels/conv_weights.h"
#include "kernels/linear_fixtures.h"
#include "reference/image_layers.h"

namespace lockstep::test {

using reference::Table;

struct ConvCase {
  ImageShape input;
  std::int64_t channels = 1;
  std::int64_t kernel_height = 3, kernel_width = 3;
  std::int64_t stride = 1, padding = 0;
  int pool = 1;
  int batch = 1;

  Conv2d conv() const {
    return {input, channels, kernel_height, kernel_width, stride, padding, Activation::none};
  }
  ConvShape shape() const { return conv_shape(conv(), pool, input_pitch(input.channels)); }
  // As a hidden layer's input lies.
  ConvShape hidden_shape() const {
    return conv_shape(conv(), pool, padded_channels(input.channels));
  }
  Pool2d max_pool() const { return {PoolKind::max, conv().output(), pool, pool}; }
  ImageShape output() const { return pool > 1 ? max_pool().output() : conv().output(); }
};

inline std::string to_string(const ConvCase& c) {
  const auto number = [](auto value) { return std::to_string(value); };
  return number(c.batch) + " of " + number(c.input.channels) + "x" + number(c.input.height) + "x" +
         number(c.input.width) + " to " + number(c.channels) + ", kernel " +
         number(c.kernel_height) + "x" + number(c.kernel_width) + ", stride " + number(c.stride) +
         ", padding " + number(c.padding) + ", pool " + number(c.pool);
}

// One channel and three, channels that fill no tile, every form of kernel, stride and padding, with
// and without pooling, whose windows fill tiles (2) and do not (3, 5).
inline const std::vector<ConvCase>& conv_cases() {
  static const std::vector<ConvCase> cases = {
      {{1, 1, 1}, 1, 1, 1, 1, 0, 1, 1},    {{1, 7, 6}, 5, 3, 3, 1, 0, 1, 1},
      {{3, 9, 8}, 33, 3, 3, 1, 1, 2, 7},   {{3, 12, 12}, 10, 5, 5, 1, 2, 2, 2},
      {{6, 10, 10}, 16, 5, 5, 1, 0, 2, 3}, {{37, 6, 5}, 40, 1, 1, 1, 0, 1, 3},
      {{5, 8, 9}, 70, 2, 3, 2, 1, 1, 4},   {{4, 11, 11}, 6, 3, 3, 2, 0, 3, 33},
      {{2, 5, 5}, 3, 3, 3, 1, 2, 1, 2},    {{3, 16, 16}, 20, 3, 3, 1, 0, 5, 2},
      {{8, 9, 9}, 36, 3, 3, 1, 0, 2, 9}};
  return cases;
}

inline Table random_table(std::int64_t rows, std::int64_t columns, unsigned seed) {
  Table table(rows, columns);
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (double& value : table.data) value = static_cast<double>(uniform(generator));
  return table;
}

inline Table absolute(Table table) {
  for (double& value : table.data) value = std::abs(value);
  return table;
}

// Images in a pitch, plane by plane in the table; what fills the pitch is `padding`.
inline std::vector<float> images_of(const Table& table, const ImageShape& shape, int pitch,
                                    float padding = 0.0F) {
  std::vector<float> images(static_cast<std::size_t>(table.rows * shape.pixels() * pitch), padding);
  for (std::int64_t i = 0; i < table.rows; ++i) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      for (std::int64_t p = 0; p < shape.pixels(); ++p) {
        images[static_cast<std::size_t>((i * shape.pixels() + p) * pitch + c)] =
            static_cast<float>(table.at(i, c * shape.pixels() + p));
      }
    }
  }
  return images;
}

// Back again. What fills the pitch must still be NaN.
inline Table table_of(const std::vector<float>& images, std::int64_t rows, const ImageShape& shape,
                      int pitch) {
  Table table(rows, shape.size());
  for (std::size_t place = 0; place < images.size(); ++place) {
    const auto channel = static_cast<std::int64_t>(place) % pitch;
    const auto pixel = static_cast<std::int64_t>(place) / pitch;
    if (channel >= shape.channels) {
      EXPECT_TRUE(std::isnan(images[place])) << "padding overwritten at float " << place;
      continue;
    }
    table.at(pixel / shape.pixels(), channel * shape.pixels() + pixel % shape.pixels()) =
        static_cast<double>(images[place]);
  }
  return table;
}

inline std::vector<float> unwritten(std::int64_t size) {
  return std::vector<float>(static_cast<std::size_t>(size),
                            std::numeric_limits<float>::quiet_NaN());
}

inline std::vector<float> floats_of(const Table& table) {
  return {table.data.begin(), table.data.end()};
}

// How far sums of `depth` products may be from float64's, of whose magnitudes `magnitudes` is the
// sum: as Product::bound().
inline void expect_sums_near(const Table& actual, const Table& expected, const Table& magnitudes,
                             double depth, Precision precision) {
  const double unit = 4 * std::sqrt(depth) * unit_roundoff(precision);
  ASSERT_EQ(actual.data.size(), expected.data.size());
  for (std::size_t i = 0; i < expected.data.size(); ++i) {
    ASSERT_NEAR(actual.data[i], expected.data[i],
                unit * magnitudes.data[i] + 0x1p-22 * std::abs(expected.data[i]))
        << "value " << i;
  }
}

// A layer's operands, and what the oracle makes of them.
struct ConvProblem {
  ConvCase c;
  Table x, weight, bias;
  Table dy;  // of the pooled output

  explicit ConvProblem(const ConvCase& of)
      : c(of),
        x(random_table(of.batch, of.input.size(), 1)),
        weight(random_table(of.channels, of.conv().fan_in(), 2)),
        bias(random_table(1, of.channels, 3)),
        dy(random_table(of.batch, of.output().size(), 4)) {}

  double depth() const { return static_cast<double>(c.conv().fan_in()) + 1; }

  // Before the pooling.
  Table convolved() const { return convolved(x, weight, bias); }
  Table magnitudes() const { return convolved(absolute(x), absolute(weight), absolute(bias)); }
  Table pooled(const Table& values) const {
    return c.pool > 1 ? reference::pooling(values, c.max_pool()) : values;
  }
  // The gradient of the convolution's own output.
  Table spread(const Table& gradient) const {
    return c.pool > 1 ? reference::pooling_backward(convolved(), gradient, c.max_pool()) : gradient;
  }

  struct Gradients {
    Table dx, dweight, dbias;
  };
  Gradients gradients() const { return gradients(x, weight, spread(dy)); }
  Gradients gradient_magnitudes() const {
    return gradients(absolute(x), absolute(weight), absolute(spread(dy)));
  }

  // [batch, pooled pixels, pitch]: where the largest output of each window is.
  std::vector<unsigned char> index() const {
    const Table outputs = convolved();
    const ImageShape pooled_shape = c.output(), shape = c.conv().output();
    const int pitch = padded_channels(c.channels);
    std::vector<unsigned char> index(
        static_cast<std::size_t>(c.batch * pooled_shape.pixels() * pitch), 255);
    for (std::int64_t i = 0; i < c.batch; ++i) {
      for (std::int64_t o = 0; o < c.channels; ++o) {
        for (std::int64_t p = 0; p < pooled_shape.pixels(); ++p) {
          int best = 0;
          const auto value = [&](int place) {
            const std::int64_t row = p / pooled_shape.width * c.pool + place / c.pool;
            const std::int64_t column = p % pooled_shape.width * c.pool + place % c.pool;
            return outputs.at(i, (o * shape.height + row) * shape.width + column);
          };
          for (int place = 1; place < c.pool * c.pool; ++place) {
            if (value(place) > value(best)) best = place;
          }
          index[static_cast<std::size_t>((i * pooled_shape.pixels() + p) * pitch + o)] =
              static_cast<unsigned char>(best);
        }
      }
    }
    return index;
  }

  // Device memory, for a layer whose input lies as `shape` says.
  float* x_on_device(const ConvShape& shape) const {
    return on_device(images_of(x, c.input, shape.input_pitch));
  }
  float* weight_on_device(const ConvShape& shape) const {
    float* to = on_device(unwritten(std::int64_t{shape.outputs} * shape.weight_pitch()));
    const ConvWeights weights{shape, on_device(floats_of(weight)), to};
    conv_weights({&weights, 1}, new_stream());
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return to;
  }
  float* dy_on_device() const {
    return on_device(images_of(dy, c.output(), padded_channels(c.channels)));
  }
  unsigned char* index_on_device() const { return c.pool > 1 ? on_device(index()) : nullptr; }

 private:
  Table convolved(const Table& images, const Table& w, const Table& b) const {
    return reference::convolution(images, w.data.data(), b.data.data(), c.conv(),
                                  reference::Operands::exact);
  }
  Gradients gradients(const Table& images, const Table& w, Table outputs) const {
    Gradients all{Table(0, 0), Table(w.rows, w.columns), Table(1, c.channels)};
    all.dx = reference::convolution_backward(images, outputs, outputs, w.data.data(), c.conv(),
                                             all.dweight.data.data(), all.dbias.data.data(),
                                             reference::Operands::exact);
    return all;
  }
};

// Calls run(problem, precision) for each case, precision and number of multiprocessors.
template <class Run>
void for_each_conv(const Run& run) {
  for (const ConvCase& c : conv_cases()) {
    SCOPED_TRACE(to_string(c));
    const ConvProblem problem(c);
    for_each_variant([&](Precision precision, Spacing spacing) {
      if (spacing.lead == 0) run(problem, precision);
    });
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace lockstep::test
