// What the tests of the linear layers share: matrices with poisoned padding, sizes, tolerances.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/dropout.h"
#include "device/device.h"
#include "kernels/device_rows.h"
#include "kernels/dropout.h"
#include "lockstep/backend.h"

namespace lockstep::test {

using testing::DeviceTest;
using testing::from_device;
using testing::new_stream;

template <class T>
T* on_device(const std::vector<T>& values) {
  return testing::to_device(values);
}

// How rows lie in memory: `lead` floats before the first, `extra` or more between two, so that they
// begin a multiple of `unit` apart.
struct Spacing {
  int extra = 0;
  int lead = 0;
  int unit = 1;
};
// Dense, rows aligned or not as the columns have it; aligned rows with padding; no row aligned.
inline const std::vector<Spacing> kSpacings = {{0, 0, 1}, {1, 4, 4}, {3, 1, 1}};

// Row-major [rows, columns], all NaN before and between the rows; nothing behind the last value, so
// that AddressSanitizer sees a read beyond it.
struct TestRows {
  int rows = 0;
  int columns = 0;
  Spacing spacing;
  std::vector<float> values;

  std::int64_t lead() const { return spacing.lead; }
  std::int64_t stride() const {
    return (columns + spacing.extra + spacing.unit - 1) / spacing.unit * spacing.unit;
  }
  std::size_t index(int row, int column) const {
    return static_cast<std::size_t>(lead() + row * stride() + column);
  }
  float& at(int row, int column) { return values[index(row, column)]; }
  float at(int row, int column) const { return values[index(row, column)]; }
};

inline TestRows empty_rows(int rows, int columns, Spacing spacing = {}) {
  TestRows matrix{rows, columns, spacing, {}};
  const std::int64_t size =
      rows > 0 ? spacing.lead + (rows - 1) * matrix.stride() + columns : spacing.lead;
  matrix.values.assign(static_cast<std::size_t>(size), std::numeric_limits<float>::quiet_NaN());
  return matrix;
}

inline TestRows random_rows(int rows, int columns, Spacing spacing, unsigned seed) {
  TestRows matrix = empty_rows(rows, columns, spacing);
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) matrix.at(i, j) = uniform(generator);
  }
  return matrix;
}

inline DeviceRows<float> on_device(const TestRows& matrix) {
  return {on_device(matrix.values) + matrix.lead(), matrix.stride()};
}
inline DeviceRows<const float> input_on_device(const TestRows& matrix) {
  return {on_device(matrix.values) + matrix.lead(), matrix.stride()};
}

// The device's values in a matrix of the same form. What lies between its rows must still be NaN.
inline TestRows from_device(DeviceRows<float> rows, TestRows form) {
  form.values = from_device(rows.data - form.lead(), form.values.size());
  for (std::size_t i = 0; i < form.values.size(); ++i) {
    const auto place = static_cast<std::int64_t>(i) - form.lead();
    if (place >= 0 && place % form.stride() < form.columns) continue;
    EXPECT_TRUE(std::isnan(form.values[i])) << "padding overwritten at float " << i;
  }
  return form;
}

// Half an ulp of the operands' format.
inline double unit_roundoff(Precision precision) {
  switch (precision) {
    case Precision::fp32: return 0x1p-24;
    case Precision::tf32: return 0x1p-11;
    case Precision::bf16: return 0x1p-8;
  }
  return 0;
}

// A product over `depth` in float64, and how far a float32 result may be from it.
struct Product {
  double value = 0;
  double magnitude = 0;  // sum of |a b|
  int depth = 0;

  void add(double a, double b) {
    value += a * b;
    magnitude += std::abs(a * b);
    ++depth;
  }
  double bound(Precision precision) const {
    return 4 * std::sqrt(depth) * unit_roundoff(precision) * magnitude + 0x1p-23 * std::abs(value);
  }
};

struct LinearSizes {
  int batch, inputs, outputs;
};

inline std::string to_string(const LinearSizes& sizes) {
  return "batch " + std::to_string(sizes.batch) + ", " + std::to_string(sizes.inputs) + " to " +
         std::to_string(sizes.outputs);
}

// How many multiprocessors to pretend: with 1 every product of more than 32 x 32 takes large tiles,
// with 132 small ones, and splits where it is deep.
inline const std::vector<int> kMultiprocessors = {1, 132};

// Calls run(precision, spacing) for each, with each number of multiprocessors, on a new device; on
// a GPU with its own number alone. Under ThreadSanitizer, where a product takes a second, with one
// spacing for each: races depend on the tiles.
template <class Run>
void for_each_variant(const Run& run,
                      const std::vector<int>& all_multiprocessors = kMultiprocessors) {
  std::size_t variant = 0;
  for (const int multiprocessors : all_multiprocessors) {
    if (!testing::kEmulated && multiprocessors != all_multiprocessors.front()) break;
    for (const Precision precision : testing::precisions()) {
      const Spacing& only = kSpacings[variant++ % kSpacings.size()];
      for (const Spacing& spacing : kSpacings) {
        if (testing::under_thread_sanitizer() && &spacing != &only) continue;
        testing::renew_device();
        testing::pretend_multiprocessors(multiprocessors);
        SCOPED_TRACE("multiprocessors " + std::to_string(multiprocessors) + ", precision " +
                     std::to_string(static_cast<int>(precision)) + ", lead " +
                     std::to_string(spacing.lead));
        run(precision, spacing);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

// Of deep products, split over blocks: large tiles of these take the emulator seconds.
template <class Run>
void for_each_split_variant(const Run& run) {
  for_each_variant(run, {132});
}

// run() gives values; all orders of blocks and threads must give the same bits.
template <class Run>
void expect_same_bits_for_all_seeds(const Run& run) {
  std::vector<std::uint32_t> first;
  for (const unsigned seed : {1U, 2U, 77U}) {
    testing::set_order(seed);
    std::vector<std::uint32_t> bits;
    for (const float value : run()) bits.push_back(std::bit_cast<std::uint32_t>(value));
    if (first.empty()) first = bits;
    EXPECT_EQ(bits, first) << "seed " << seed;
  }
}

// dropout(key) of a host matrix of those samples, as the CPU does it.
inline void drop_on_cpu(const DropoutKey& key, const std::vector<std::int64_t>& samples,
                        TestRows& rows) {
  Batch batch;
  batch.samples = samples;
  apply_dropout(key, batch,
                {rows.values.data() + rows.lead(), rows.rows, rows.columns, rows.stride()});
}

// The same on the device; the epoch comes from its memory alone.
inline DropoutMask mask_on_device(const DropoutKey& key, const std::vector<std::int64_t>& samples) {
  RandomStream stream = key.stream;
  stream.epoch = 0;
  return {stream, key.threshold, key.keep_scale, on_device(samples),
          on_device(std::vector<std::uint32_t>{key.stream.epoch})};
}

// Device memory, zero, for a launcher that asks for so many floats; null for none.
inline float* workspace(std::size_t floats) {
  return floats > 0 ? testing::to_device(std::vector<float>(floats)) : nullptr;
}

}  // namespace lockstep::test
