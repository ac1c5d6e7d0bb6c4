// lockstep_micro: Google Benchmark's options apply, --benchmark_filter=REGEX among them.
#include "micro/micro.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "lockstep/rng.h"
#include "machine_limits.h"

namespace lockstep::bench {

double peak_flops() {
  static const double peak = fma_peak(1, 0.3) * 1e9;
  return peak;
}

double read_limit(double bytes, int threads) {
  constexpr double kLargest = 400e6;  // beyond every cache that the peers' tables know
  static std::map<std::pair<int, int>, double> known;
  constexpr double kSmallestShared = 8e6;  // so that the meeting of threads weighs little
  const double size = threads > 1 ? std::max(bytes, kSmallestShared) : bytes;
  const int power = static_cast<int>(std::ceil(std::log2(std::min(size, kLargest))));
  double& limit = known[{power, threads}];
  if (limit == 0.0) {
    Buffer<float> buffer(static_cast<size_t>(std::exp2(power)) / sizeof(float) + 1024);
    fill(buffer.span(), 1);  // a page that was never written is not memory
    limit = read_bandwidth(buffer.span(), threads, 0.2) * 1e9;
  }
  return limit;
}

void count_flop(benchmark::State& state, double flop) {
  using benchmark::Counter;
  state.counters["FLOP/s"] = Counter(flop, Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] = Counter(flop / peak_flops(), Counter::kIsIterationInvariantRate);
}

void count_bytes(benchmark::State& state, double bytes, double working_set) {
  using benchmark::Counter;
  state.counters["bytes/s"] =
      Counter(bytes, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000);
  state.counters["of_read"] =
      Counter(bytes / read_limit(working_set), Counter::kIsIterationInvariantRate);
}

void require(benchmark::State& state, bool correct) {
  if (!correct) state.SkipWithError("the result is wrong");
}

bool is_near(double actual, double expected, double tolerance) {
  return std::fabs(actual - expected) <= tolerance * (1.0 + std::fabs(expected));
}

void fill(std::span<float> values, uint32_t seed) {
  const RandomStream stream{seed, Purpose::synthetic_features, 0, 0};
  for (size_t i = 0; i < values.size(); i += 4) {
    const Philox4 words = stream.draw(i / 4, 0);
    const uint32_t four[] = {words.x, words.y, words.z, words.w};
    for (size_t j = i; j < std::min(i + 4, values.size()); ++j) {
      values[j] = unit_float(four[j - i]) - 0.5f;
    }
  }
}

PanelArray::PanelArray(int64_t samples, int64_t features, uint32_t seed)
    : samples_(samples), features_(features), data_(panels_of(samples) * panel_floats(features)) {
  fill(data_.span(), seed);
}

float PanelArray::at(int64_t sample, int64_t feature) const {
  return data_[sample / kPanelSamples * panel_floats(features_) + feature * kPanelSamples +
               sample % kPanelSamples];
}

void PanelArray::clear_empty_lanes() {
  const Panels panels = view();
  const int64_t last = panels.count() - 1;
  for (int64_t j = 0; j < features_; ++j) {
    for (int64_t i = panels.samples_in(last); i < kPanelSamples; ++i) {
      panels.panel(last)[j * kPanelSamples + i] = 0.0f;
    }
  }
}

RowArray::RowArray(int64_t samples, int64_t columns, uint32_t seed)
    : samples_(samples),
      columns_(columns),
      data_(panels_of(samples) * kPanelSamples * spread_stride(columns)) {
  fill(data_.span(), seed);
}

}  // namespace lockstep::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("instruction set", lockstep::bench::instruction_set());
  benchmark::AddCustomContext("FMA peak, FLOP/s", std::to_string(lockstep::bench::peak_flops()));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
