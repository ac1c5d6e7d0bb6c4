#include "kernels/pool.h"

#include "kernels/conv_fixtures.h"

namespace lockstep::test {
namespace {

using PoolTest = DeviceTest;

struct PoolCase {
  ImageShape input;
  std::int64_t kernel, stride;
  int batch;

  Pool2d pool(PoolKind kind) const { return {kind, input, kernel, stride}; }
};

// Side by side, overlapping, apart; windows of one pixel and of all.
const std::vector<PoolCase> kCases = {
    {{1, 1, 1}, 1, 1, 1},  {{3, 7, 8}, 2, 2, 4},  {{5, 9, 7}, 3, 2, 7},   {{8, 6, 6}, 6, 6, 2},
    {{4, 8, 11}, 2, 3, 3}, {{6, 5, 5}, 3, 1, 33}, {{2, 20, 20}, 17, 1, 1}};

struct Pooled {
  Table y;
  std::vector<std::int32_t> index;
};

Pooled run_forward(const PoolCase& c, PoolKind kind, const Table& x, int pitch, bool planes = false,
                   const DropoutMask& dropout = {}) {
  const Pool2d pool = c.pool(kind);
  const ImageShape output = pool.output();
  const int output_pitch = padded_channels(output.channels);
  const std::int64_t size =
      planes ? c.batch * output.size() : c.batch * output.pixels() * output_pitch;
  const std::int64_t indices = c.batch * output.pixels() * output_pitch;
  float* y = on_device(unwritten(size));
  auto* index = on_device(std::vector<std::int32_t>(static_cast<std::size_t>(indices), -1));
  const float* images = on_device(images_of(x, c.input, pitch));
  pool_forward({.batch = c.batch,
                .pool = pool,
                .x = by_pixels(images, c.input, pitch),
                .y = planes ? by_planes(y, output, output.size()) : by_pixels(y, output),
                .index = kind == PoolKind::max ? index : nullptr,
                .dropout = dropout},
               new_stream());
  Pooled got{Table(c.batch, output.size()), from_device(index, static_cast<std::size_t>(indices))};
  const std::vector<float> values = from_device(y, static_cast<std::size_t>(size));
  if (planes) {
    std::copy(values.begin(), values.end(), got.y.data.begin());
  } else {
    got.y = table_of(values, c.batch, output, output_pitch);
  }
  return got;
}

Table run_backward(const PoolCase& c, PoolKind kind, const Table& dy,
                   const std::vector<std::int32_t>& index, const ImageBelow& below = {}) {
  const Pool2d pool = c.pool(kind);
  const ImageShape output = pool.output();
  const int pitch = padded_channels(c.input.channels);
  const std::int64_t size = c.batch * c.input.pixels() * pitch;
  float* dx = on_device(unwritten(size));
  const float* gradient = on_device(images_of(dy, output, padded_channels(output.channels)));
  pool_backward({.batch = c.batch,
                 .pool = pool,
                 .dy = by_pixels(gradient, output),
                 .index = kind == PoolKind::max ? on_device(index) : nullptr,
                 .below = below,
                 .dx = by_pixels(dx, c.input)},
                new_stream());
  return table_of(from_device(dx, static_cast<std::size_t>(size)), c.batch, c.input, pitch);
}

void expect_near(const Table& actual, const Table& expected, double tolerance) {
  ASSERT_EQ(actual.data.size(), expected.data.size());
  for (std::size_t i = 0; i < expected.data.size(); ++i) {
    ASSERT_NEAR(actual.data[i], expected.data[i], tolerance) << "value " << i;
  }
}

// A largest value is exact; a mean is not.
double tolerance_of(PoolKind kind) {
  return kind == PoolKind::max ? 0.0 : 1e-6;
}

TEST_F(PoolTest, both_kinds_are_the_oracles_in_every_order) {
  for (const PoolCase& c : kCases) {
    const Table x = random_table(c.batch, c.input.size(), 1);
    for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
      const Table expected = reference::pooling(x, c.pool(kind));
      const double tolerance = tolerance_of(kind);
      for (const int pitch : {input_pitch(c.input.channels), padded_channels(c.input.channels)}) {
        for (const bool planes : {false, true}) {
          expect_near(run_forward(c, kind, x, pitch, planes).y, expected, tolerance);
        }
      }
    }
  }
}

TEST_F(PoolTest, gradients_are_the_oracles) {
  for (const PoolCase& c : kCases) {
    const Table x = random_table(c.batch, c.input.size(), 1);
    for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
      const Table dy = random_table(c.batch, c.pool(kind).output().size(), 2);
      const Pooled forward = run_forward(c, kind, x, padded_channels(c.input.channels));
      expect_near(run_backward(c, kind, dy, forward.index),
                  reference::pooling_backward(x, dy, c.pool(kind)), 2e-6);
    }
  }
}

// All of two values: most windows have several largest.
TEST_F(PoolTest, the_first_of_equal_values_gets_the_gradient) {
  for (const PoolCase& c : kCases) {
    Table x = random_table(c.batch, c.input.size(), 3);
    for (double& value : x.data) value = value > 0 ? 1.0 : 0.0;
    const Table dy = random_table(c.batch, c.pool(PoolKind::max).output().size(), 2);
    const Pooled forward = run_forward(c, PoolKind::max, x, padded_channels(c.input.channels));
    expect_near(run_backward(c, PoolKind::max, dy, forward.index),
                reference::pooling_backward(x, dy, c.pool(PoolKind::max)), 2e-6);
  }
}

TEST_F(PoolTest, a_nan_is_passed_on) {
  const PoolCase c{{1, 2, 4}, 2, 2, 1};
  Table x(1, 8);
  x.data = {1, std::numeric_limits<double>::quiet_NaN(), 7, 1, 5, 2, 1, 1};
  for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
    const Pooled got = run_forward(c, kind, x, 4);
    EXPECT_TRUE(std::isnan(got.y.at(0, 0)));
    EXPECT_FALSE(std::isnan(got.y.at(0, 1)));
  }
}

TEST_F(PoolTest, dropout_is_the_cpus_forward_and_backward) {
  const PoolCase c{{3, 6, 6}, 2, 2, 4};
  const DropoutKey key = dropout_key(5, 1, 2, 0.25);
  const std::vector<std::int64_t> samples = {40, 2, 3, 9};
  const Table x = random_table(c.batch, c.input.size(), 1);
  const Pool2d pool = c.pool(PoolKind::average);
  const Table plain = run_forward(c, PoolKind::average, x, 4).y;
  const Table dropped =
      run_forward(c, PoolKind::average, x, 4, false, mask_on_device(key, samples)).y;
  const Table dy = random_table(c.batch, pool.output().size(), 2);
  const Table gradient = run_backward(c, PoolKind::average, dy, {});
  const ImageDropout below{mask_on_device(key, samples), static_cast<int>(c.input.pixels())};
  const Table through = run_backward(c, PoolKind::average, dy, {}, {nullptr, false, below});
  const auto expected = [&](std::int64_t i, std::int64_t unit, double value) {
    const bool kept = reference::kept(5, 1, 2, samples[static_cast<std::size_t>(i)], unit, 0.25);
    return kept ? static_cast<float>(value) * key.keep_scale : 0.0F;
  };
  for (std::int64_t i = 0; i < c.batch; ++i) {
    for (std::int64_t u = 0; u < plain.columns; ++u) {
      EXPECT_EQ(static_cast<float>(dropped.at(i, u)), expected(i, u, plain.at(i, u)));
    }
    for (std::int64_t u = 0; u < gradient.columns; ++u) {
      EXPECT_EQ(static_cast<float>(through.at(i, u)), expected(i, u, gradient.at(i, u)));
    }
  }
}

TEST_F(PoolTest, an_empty_batch_starts_nothing) {
  const auto before = testing::launches_seen();
  pool_forward({}, new_stream());
  pool_backward({}, new_stream());
  EXPECT_EQ(testing::launches_seen(), before);
}

}  // namespace
}  // namespace lockstep::test
