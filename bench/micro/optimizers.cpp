// Optimizers. The floor is their traffic: parameters, gradients and state read, parameters and
// state written, each once, at the read bandwidth of a buffer as large as all of them. 32,768
// parameters stay in a second-level cache, 567,434 are those of mlp-adam, 2^24 are in no cache.
#include "backend/optimizer_ops.h"
#include "micro/micro.h"

namespace lockstep::bench {
namespace {

void update(benchmark::State& state, const OptimizerConfig& config) {
  const auto size = static_cast<size_t>(state.range(0));
  Buffer<float> values(size), gradients(size), first(size), second(size);
  fill(gradients.span(), 1);
  const UpdateArrays arrays{values.data(), gradients.data(), first.data(), second.data()};
  const UpdateRule rule = update_rule(config);
  const UpdateScalars scalars = update_scalars(config, 0.001, 0, 32);

  apply_update(rule, scalars, arrays, size);
  const double gradient = gradients[size - 1] / 32.0;
  const bool adam = config.kind != OptimizerKind::sgd;
  const double step = adam ? (gradient > 0.0 ? 1.0 : -1.0) : gradient;  // Adam's first: the sign
  require(state, is_near(values[size - 1], -0.001 * step, 1e-5));

  for ([[maybe_unused]] auto _ : state) apply_update(rule, scalars, arrays, size);
  const double array = static_cast<double>(size) * sizeof(float);
  count_bytes(state, (3 + 2 * config.state_count()) * array, (2 + config.state_count()) * array);
}

OptimizerConfig config_of(OptimizerKind kind, double momentum) {
  OptimizerConfig config;
  config.kind = kind;
  config.momentum = momentum;
  return config;
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("parameters")->Arg(32768)->Arg(567434)->Arg(1 << 24);
}

BENCHMARK_CAPTURE(update, sgd, config_of(OptimizerKind::sgd, 0.0))->Apply(sizes);
BENCHMARK_CAPTURE(update, momentum, config_of(OptimizerKind::sgd, 0.9))->Apply(sizes);
BENCHMARK_CAPTURE(update, adam, config_of(OptimizerKind::adam, 0.0))->Apply(sizes);

}  // namespace
}  // namespace lockstep::bench
