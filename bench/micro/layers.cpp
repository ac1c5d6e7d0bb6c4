// The operations of a linear layer over panels, on the shapes of the two MLPs. Memory is the same
// in every iteration, so it is as warm as the caches allow: the floor of the three products is the
// FMA peak, that of the others reading and writing their arrays once.
#include <cmath>

#include "backend/panel_gemm.h"
#include "backend/panel_loss.h"
#include "micro/micro.h"

namespace lockstep::bench {
namespace {

// Arguments: samples, inputs, outputs.
void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"samples", "in", "out"});
  benchmark->Args({256, 784, 256})->Args({256, 256, 128})->Args({256, 128, 10});  // mlp-mnist
  benchmark->Args({32, 784, 512})->Args({32, 512, 256});                          // mlp-adam
  benchmark->Args({32, 256, 128})->Args({32, 128, 10});
}

// Arguments: samples, units.
void widths(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"samples", "units"});
  benchmark->Args({256, 256})->Args({256, 128})->Args({32, 512})->Args({32, 256})->Args({32, 128});
}

struct Layer {
  Layer(int64_t in, int64_t out) : inputs(in), outputs(out), weight(in * out), bias(out) {
    fill(weight.span(), 1);
    fill(bias.span(), 2);
  }
  LinearWeights view() const { return {weight.data(), bias.data(), outputs, inputs}; }
  int64_t inputs, outputs;
  Buffer<float> weight, bias;
};

void forward(benchmark::State& state) {
  const int64_t samples = state.range(0);
  const Layer layer(state.range(1), state.range(2));
  PanelArray x(samples, layer.inputs, 3), y(samples, layer.outputs, 4);
  for ([[maybe_unused]] auto _ : state) panel_forward(layer.view(), x.view(), y.view());
  double expected = layer.bias[0];
  for (int64_t k = 0; k < layer.inputs; ++k) {
    expected += static_cast<double>(layer.weight[k]) * x.at(samples - 1, k);
  }
  require(state, is_near(y.at(samples - 1, 0), expected));
  count_flop(state, 2.0 * samples * layer.inputs * layer.outputs);
}
BENCHMARK(forward)->Apply(shapes);

void input_gradient(benchmark::State& state) {
  const int64_t samples = state.range(0);
  const Layer layer(state.range(1), state.range(2));
  PanelArray dy(samples, layer.outputs, 3), dx(samples, layer.inputs, 4);
  for ([[maybe_unused]] auto _ : state) panel_input_gradient(layer.view(), dy.view(), dx.view());
  double expected = 0.0;
  for (int64_t o = 0; o < layer.outputs; ++o) {
    expected += static_cast<double>(layer.weight[o * layer.inputs]) * dy.at(samples - 1, o);
  }
  require(state, is_near(dx.at(samples - 1, 0), expected));
  count_flop(state, 2.0 * samples * layer.inputs * layer.outputs);
}
// The first layer needs no input gradient; its shape shows what one would cost.
BENCHMARK(input_gradient)->Apply(shapes);

void weight_gradient(benchmark::State& state) {
  const int64_t samples = state.range(0), inputs = state.range(1), outputs = state.range(2);
  PanelArray dy(samples, outputs, 3);
  RowArray x(samples, inputs, 4);
  Buffer<float> dw(inputs * outputs);
  const LayerFactors share{dy.view(), x.view()};
  for ([[maybe_unused]] auto _ : state) {
    panel_weight_gradient({&share, 1}, {0, outputs}, ShareSum::chain, dw.data());
  }
  double expected = 0.0;
  for (int64_t i = 0; i < samples; ++i) {
    expected += static_cast<double>(dy.at(i, outputs - 1)) * x.at(i, inputs - 1);
  }
  require(state, is_near(dw[inputs * outputs - 1], expected));
  count_flop(state, 2.0 * samples * inputs * outputs);
}
BENCHMARK(weight_gradient)->Apply(shapes);

void bias_gradient(benchmark::State& state) {
  const int64_t samples = state.range(0), units = state.range(1);
  PanelArray dy(samples, units, 3);
  dy.clear_empty_lanes();
  Buffer<float> db(units);
  const LayerFactors share{dy.view(), {}};
  for ([[maybe_unused]] auto _ : state)
    panel_bias_gradient({&share, 1}, {0, units}, ShareSum::chain, db.data());
  double expected = 0.0;
  for (int64_t i = 0; i < samples; ++i) expected += dy.at(i, units - 1);
  require(state, is_near(db[units - 1], expected));
  const double bytes = 4.0 * samples * units;
  count_bytes(state, bytes, bytes);
}
BENCHMARK(bias_gradient)->Apply(widths);

void rows_into_panels(benchmark::State& state) {
  const int64_t samples = state.range(0), features = state.range(1);
  RowArray rows(samples, features, 3);
  PanelArray panels(samples, features, 4);
  for ([[maybe_unused]] auto _ : state) rows_to_panels(rows.view(), panels.view());
  require(state, panels.at(samples - 1, features - 1) == rows.at(samples - 1, features - 1));
  const double bytes = 2 * 4.0 * samples * features;  // read, written
  count_bytes(state, bytes, bytes);
}
BENCHMARK(rows_into_panels)->ArgNames({"samples", "features"})->Args({256, 784})->Args({32, 784});

// A batch without a data set: dropout asks for the samples' numbers alone.
Batch numbered(int64_t samples) {
  Batch batch;
  batch.contiguous = true;
  batch.contiguous_range = {0, samples};
  return batch;
}

void finish(benchmark::State& state, const LayerEnd& end) {
  const int64_t samples = state.range(0), units = state.range(1);
  PanelArray y(samples, units, 3);
  RowArray rows(samples, units, 4);
  const float before = y.at(samples - 1, units - 1);
  const Batch batch = numbered(samples);
  finish_layer(end, batch, y.view(), rows.view());
  const float after = y.at(samples - 1, units - 1);
  require(state, after == 0.0f || is_near(after, before / (end.dropout ? 0.8 : 1.0)));
  require(state, rows.at(samples - 1, units - 1) == after);
  for ([[maybe_unused]] auto _ : state) finish_layer(end, batch, y.view(), rows.view());
  const double bytes = 3 * 4.0 * samples * units;  // read, written, copied row-major
  count_bytes(state, bytes, bytes);
}

void finish_relu(benchmark::State& state) {
  finish(state, {Activation::relu, {}});
}
BENCHMARK(finish_relu)->Apply(widths);

// Bound by the ten rounds of the generator, four units at a time, not by memory.
void finish_relu_dropout(benchmark::State& state) {
  finish(state, {Activation::relu, dropout_key(1, 1, 0, 0.2)});
}
BENCHMARK(finish_relu_dropout)->Apply(widths);

// Bound by exponentials, one a logit.
void softmax_loss(benchmark::State& state) {
  const int64_t samples = state.range(0), classes = state.range(1);
  Split split;
  for (int64_t i = 0; i < samples; ++i) split.labels.push_back(static_cast<int32_t>(i % classes));
  Batch batch = numbered(samples);
  batch.data = &split;
  PanelArray logits(samples, classes, 3);
  double sum = 0.0;
  for ([[maybe_unused]] auto _ : state) {
    panel_loss_backward(Loss::softmax_cross_entropy, batch, logits.view());
  }
  for (int64_t j = 0; j < classes; ++j) sum += logits.at(samples - 1, j);
  require(state, std::fabs(sum) < 1e-5);  // softmax - onehot
  const double bytes = 2 * 4.0 * samples * classes;
  count_bytes(state, bytes, bytes);
}
BENCHMARK(softmax_loss)->ArgNames({"samples", "classes"})->Args({256, 10})->Args({32, 10});

}  // namespace
}  // namespace lockstep::bench
