// What the micro-benchmarks share: counters that set a speed against the machine's limits, and
// panels to work on.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <span>

#include "backend/matrix.h"
#include "backend/panel.h"
#include "backend/panel_ops.h"
#include "lockstep/buffer.h"

namespace lockstep::bench {

// Float32 multiply-add peak of one thread, FLOP/s; measured once a process.
double peak_flops();

// Plain read bandwidth, bytes/s, of a buffer of `bytes` (8 MB at least where it is shared out to
// several threads); measured once for each power of two of bytes. Not from inside a benchmark of
// several threads: see Setup().
double read_limit(double bytes, int threads = 1);

// FLOP/s, and what share of peak_flops() that is. `flop` is one iteration's.
void count_flop(benchmark::State& state, double flop);

// bytes/s, and what share of read_limit(working_set) that is. `bytes` is what one iteration must
// read and write, each byte counted once; `working_set` the memory that the iterations go through.
void count_bytes(benchmark::State& state, double bytes, double working_set);

// A benchmark of something that computes the wrong thing reports an error, not a time.
void require(benchmark::State& state, bool correct);
bool is_near(double actual, double expected, double tolerance = 1e-4);

// Values in [-0.5, 0.5), the same in every run.
void fill(std::span<float> values, uint32_t seed);

// Panels of `samples` samples, filled.
class PanelArray {
 public:
  PanelArray(int64_t samples, int64_t features, uint32_t seed);
  Panels view() { return {data_.data(), samples_, features_, panel_floats(features_)}; }
  float at(int64_t sample, int64_t feature) const;
  // Lanes without a sample become zero, as in every gradient.
  void clear_empty_lanes();

 private:
  int64_t samples_, features_;
  Buffer<float> data_;
};

// Row-major rows for whole panels of samples, as the steps keep them, filled.
class RowArray {
 public:
  RowArray(int64_t samples, int64_t columns, uint32_t seed);
  Matrix view() { return {data_.data(), samples_, columns_, spread_stride(columns_)}; }
  float at(int64_t i, int64_t j) const { return data_[i * spread_stride(columns_) + j]; }

 private:
  int64_t samples_, columns_;
  Buffer<float> data_;
};

}  // namespace lockstep::bench
