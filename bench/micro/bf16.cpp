// bf16 beside layers.cpp: the products of the batch-256 MLP, and the passes that make their
// operands. `peak` is that of float32: a product above it gains by its format.
#include <algorithm>

#include "backend/bf16_ops.h"
#include "backend/gemm.h"
#include "micro/micro.h"

namespace lockstep::bench {
namespace {

// Arguments: rows, summed, columns of a product.
void products(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"m", "k", "n"});
  benchmark->Args({256, 784, 256})->Args({256, 256, 128})->Args({256, 128, 10});  // forward
  benchmark->Args({256, 128, 256})->Args({256, 10, 128});                         // input gradient
  benchmark->Args({64, 256, 784})->Args({128, 256, 256})->Args({10, 256, 128});   // weight gradient
}

Buffer<float> filled(int64_t size, uint32_t seed) {
  Buffer<float> values(size);
  fill(values.span(), seed);
  return values;
}

void bf16_product(benchmark::State& state) {
  if (!bf16_available()) return state.SkipWithError("this CPU has no bf16 instructions");
  const ProductShape shape{state.range(0), state.range(1), state.range(2)};
  const Buffer<float> left = filled(shape.m * shape.k, 1), right = filled(shape.k * shape.n, 2);
  const PairedLayout layout{shape.k, shape.n};
  Buffer<Bf16> a(left.size()), b(layout.size());
  round_rows({left.data(), shape.m, shape.k, shape.k}, Activation::none, {a.data(), {}}, 0);
  round_rows({right.data(), shape.k, shape.n, shape.n}, Activation::none,
             {nullptr, {layout, b.data()}}, 0);
  Buffer<float> c(shape.m * shape.n);
  set_gemm_threads(1);
  Product product(shape, a.data(), b.data(), nullptr);
  for ([[maybe_unused]] auto _ : state) product.run(c.data());
  double expected = 0.0;
  for (int64_t t = 0; t < shape.k; ++t) {
    expected += static_cast<double>(to_float(a[(shape.m - 1) * shape.k + t])) *
                to_float(b[layout.index(t, shape.n - 1)]);
  }
  require(state, is_near(c[shape.m * shape.n - 1], expected));
  count_flop(state, 2.0 * static_cast<double>(shape.m * shape.k * shape.n));
}
BENCHMARK(bf16_product)->Apply(products);

// Arguments: outputs and inputs of a weight.
void bf16_round_transposed(benchmark::State& state) {
  const int64_t outputs = state.range(0), inputs = state.range(1);
  const Buffer<float> w = filled(outputs * inputs, 1);
  const PairedLayout layout{inputs, outputs};
  Buffer<Bf16> to(layout.size());
  for ([[maybe_unused]] auto _ : state) round_transposed(w.data(), {layout, to.data()});
  require(state, to[layout.index(inputs - 1, outputs - 1)].bits == to_bf16(w[w.size() - 1]).bits);
  const double bytes = (sizeof(float) + sizeof(Bf16)) * static_cast<double>(w.size());
  count_bytes(state, bytes, bytes);
}
BENCHMARK(bf16_round_transposed)->ArgNames({"out", "in"})->Args({256, 784})->Args({128, 256});

// Arguments: samples, units; into both layouts.
void bf16_round_rows(benchmark::State& state) {
  const int64_t samples = state.range(0), units = state.range(1);
  const Buffer<float> y = filled(samples * units, 1);
  const PairedLayout layout{samples, units};
  Buffer<Bf16> rows(y.size()), pairs(layout.size());
  for ([[maybe_unused]] auto _ : state) {
    round_rows({y.data(), samples, units, units}, Activation::relu,
               {rows.data(), {layout, pairs.data()}}, 0);
  }
  const uint16_t expected = to_bf16(std::max(y[y.size() - 1], 0.0f)).bits;
  require(state, rows[rows.size() - 1].bits == expected &&
                     pairs[layout.index(samples - 1, units - 1)].bits == expected);
  const double bytes = (sizeof(float) + 2 * sizeof(Bf16)) * static_cast<double>(y.size());
  count_bytes(state, bytes, bytes);
}
BENCHMARK(bf16_round_rows)->ArgNames({"samples", "units"})->Args({256, 256})->Args({256, 128});

}  // namespace
}  // namespace lockstep::bench
