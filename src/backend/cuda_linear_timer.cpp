#include "backend/cuda_linear_timer.h"

#include <algorithm>
#include <array>

namespace lockstep {

namespace {

constexpr int kMeasurements = 5;
constexpr int kMostPasses = 32;           // in a graph
constexpr double kGraphSeconds = 0.5e-3;  // what a graph is to take, about

double median(std::array<double, kMeasurements> values) {
  std::ranges::nth_element(values, values.begin() + kMeasurements / 2);
  return values[kMeasurements / 2];
}

DeviceArray<float> array_of(int64_t floats, cudaStream_t stream) {
  DeviceArray<float> array(static_cast<size_t>(floats));
  constexpr int kByte = 0x3c;  // four of which are the float 0.0115
  check(cudaMemsetAsync(array.data(), kByte, array.size() * sizeof(float), stream),
        "cudaMemsetAsync");
  return array;
}

}  // namespace

LinearTimer::LinearTimer(const LinearNetwork& network, int batch) : batch_(batch) {
  int64_t inputs = 0, outputs = 0, weight = 0;
  for (const LinearLayer& layer : network.layers) {
    inputs = std::max<int64_t>(inputs, layer.inputs);
    outputs = std::max<int64_t>(outputs, layer.outputs);
    weight = std::max(weight, int64_t{layer.inputs} * layer.outputs);
  }
  x_ = array_of(batch * row_stride(inputs), stream_.get());
  dx_ = array_of(batch * row_stride(inputs), stream_.get());
  y_ = array_of(batch * row_stride(outputs), stream_.get());
  weight_ = array_of(weight, stream_.get());
  bias_ = array_of(outputs, stream_.get());
  dweight_ = array_of(weight, stream_.get());
  dbias_ = array_of(outputs, stream_.get());
  stream_.synchronize();
}

void LinearTimer::queue(LinearProduct product, const LinearLayer& layer, Activation below,
                        LinearOps& ops) const {
  const DeviceRows<const float> x{x_.data(), row_stride(layer.inputs)};
  const DeviceRows<float> y{y_.data(), row_stride(layer.outputs)};
  ops.begin_step();
  switch (product) {
    case LinearProduct::forward:
      ops.forward({.batch = batch_,
                   .inputs = layer.inputs,
                   .outputs = layer.outputs,
                   .x = x,
                   .weight = weight_.data(),
                   .bias = bias_.data(),
                   .y = y,
                   .activation = layer.activation},
                  stream_.get());
      return;
    case LinearProduct::input_gradient:
      ops.backward_input({.batch = batch_,
                          .inputs = layer.inputs,
                          .outputs = layer.outputs,
                          .dy = {y.data, y.stride},
                          .weight = weight_.data(),
                          .x = x,
                          .dx = {dx_.data(), x.stride},
                          .activation = below},
                         stream_.get());
      return;
    case LinearProduct::weight_gradient:
      ops.backward_weight({.batch = batch_,
                           .inputs = layer.inputs,
                           .outputs = layer.outputs,
                           .units = layer.outputs,
                           .dy = {y.data, y.stride},
                           .x = x,
                           .dweight = dweight_.data(),
                           .dbias = dbias_.data()},
                          stream_.get());
      return;
  }
}

double LinearTimer::measure(const Graph& graph) const {
  Event start(Event::Timing::on), end(Event::Timing::on);
  start.record(stream_.get());
  graph.launch(stream_.get());
  end.record(stream_.get());
  end.synchronize();
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
  return 1e-3 * static_cast<double>(milliseconds);
}

LinearTimer::Seconds LinearTimer::seconds(LinearProduct product, const LinearLayer& layer,
                                          Activation below, LinearOps& a, LinearOps& b) {
  const auto graph_of = [&](LinearOps& ops, int passes) {
    return Graph(stream_.get(), [&] {
      for (int i = 0; i < passes; ++i) queue(product, layer, below, ops);
    });
  };
  const Graph one = graph_of(a, 1);
  (void)measure(one);  // the first run loads the kernels
  const double about = std::max(measure(one), 1e-9);
  const int passes = static_cast<int>(std::clamp(kGraphSeconds / about, 1.0, double{kMostPasses}));

  const Graph by_a = graph_of(a, passes), by_b = graph_of(b, passes);
  (void)measure(by_a);
  (void)measure(by_b);
  std::array<double, kMeasurements> of_a{}, of_b{};
  for (int i = 0; i < kMeasurements; ++i) {
    of_a[i] = measure(by_a) / passes;
    of_b[i] = measure(by_b) / passes;
  }
  return {median(of_a), median(of_b)};
}

}  // namespace lockstep
