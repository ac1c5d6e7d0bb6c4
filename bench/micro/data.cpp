// What reads the data set: gathering a batch, and logistic regression's one pass. The iterations go
// through a data set of the published jobs' size, so the floor is plain reading of a buffer of that
// size (the gather writes its rows to a cache).
#include <numeric>
#include <vector>

#include "backend/gather.h"
#include "backend/logistic.h"
#include "micro/micro.h"

namespace lockstep::bench {
namespace {

constexpr int64_t kMnistRows = 60000, kMnistColumns = 784;

template <class T>
struct DataSet {
  DataSet(int64_t rows, int64_t columns) : features(rows * columns) {
    if constexpr (std::is_same_v<T, float>) {
      fill(features.span(), 1);
    } else {
      for (size_t i = 0; i < features.size(); ++i) features[i] = static_cast<T>(i * 31 >> 3);
    }
    split.features.data = features.data();
    split.features.type = std::is_same_v<T, float> ? FeatureType::float32 : FeatureType::uint8;
    split.features.rows = rows;
    split.features.columns = columns;
    for (int64_t i = 0; i < rows; ++i) split.labels.push_back(static_cast<int32_t>(i % 2));
  }
  double bytes() const { return static_cast<double>(features.size() * sizeof(T)); }

  Buffer<T> features;
  Split split;
};

// Rows in an order without a pattern: a step of 25,013, prime to their number.
std::vector<int64_t> scattered(int64_t rows) {
  std::vector<int64_t> order(rows);
  for (int64_t i = 0; i < rows; ++i) order[i] = i * 25013 % rows;
  return order;
}

template <class T>
void gather_rows(benchmark::State& state) {
  const int64_t samples = state.range(0);
  const DataSet<T> data(kMnistRows, kMnistColumns);
  Normalization normalization;
  if (std::is_same_v<T, uint8_t>) {
    normalization.kind = Normalize::unit;
    normalization.scale = {1.0f / 255.0f};
    normalization.offset = {0.0f};
  }
  const FeatureScaling scaling(normalization, kMnistColumns);
  RowArray rows(samples, kMnistColumns, 2);
  const std::vector<int64_t> order = scattered(kMnistRows);
  Batch batch;
  batch.data = &data.split;
  int64_t first = 0;
  for ([[maybe_unused]] auto _ : state) {
    batch.samples = std::span(order).subspan(first, samples);
    gather(batch, scaling, rows.view().data, rows.view().stride);
    first = first + 2 * samples <= kMnistRows ? first + samples : 0;
  }
  const auto last = static_cast<double>(
      data.features[batch.sample(samples - 1) * kMnistColumns + kMnistColumns - 1]);
  const double scale = normalization.identity() ? 1.0 : 1.0 / 255.0;
  require(state, is_near(rows.at(samples - 1, kMnistColumns - 1), last * scale, 1e-6));
  count_bytes(state, static_cast<double>(samples) * kMnistColumns * (sizeof(T) + sizeof(float)),
              data.bytes());
}
BENCHMARK_TEMPLATE(gather_rows, uint8_t)->ArgName("samples")->Arg(256)->Arg(32);
BENCHMARK_TEMPLATE(gather_rows, float)->ArgName("samples")->Arg(256)->Arg(32);

// Arguments: rows and features of the data set, which batches of 8,192 go through in order.
template <class T>
void logistic_pass(benchmark::State& state) {
  const int64_t rows = state.range(0), columns = state.range(1);
  constexpr int64_t kBatch = 8192;
  const DataSet<T> data(rows, columns);
  const FeatureScaling scaling(Normalization{}, columns);
  LogisticPass pass(scaling, columns);
  Buffer<float> weights(columns), gradient(columns);
  float bias_gradient = 0.0f;
  Batch batch;
  batch.data = &data.split;
  batch.contiguous = true;
  int64_t first = 0;
  for ([[maybe_unused]] auto _ : state) {
    batch.contiguous_range = {first, first + kBatch};
    pass.gradient(batch, weights.data(), 0.0f, gradient.data(), &bias_gradient);
    first = first + 2 * kBatch <= rows ? first + kBatch : 0;
  }
  double expected = 0.0;  // weights are zero: each sigmoid is a half
  for (int64_t i = 0; i < kBatch; ++i) {
    const int64_t row = batch.sample(i);
    expected += (0.5 - data.split.labels[row]) * static_cast<double>(data.features[row * columns]);
  }
  require(state, is_near(gradient[0], expected, 1e-3));
  const auto row_bytes = static_cast<double>(columns * sizeof(T) + sizeof(int32_t));
  count_bytes(state, kBatch * row_bytes, data.bytes());
}
BENCHMARK_TEMPLATE(logistic_pass, float)
    ->ArgNames({"rows", "d"})
    ->Args({1'000'000, 20})
    ->Args({kMnistRows, kMnistColumns});
BENCHMARK_TEMPLATE(logistic_pass, uint8_t)
    ->ArgNames({"rows", "d"})
    ->Args({kMnistRows, kMnistColumns});

}  // namespace
}  // namespace lockstep::bench
