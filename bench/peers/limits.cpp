// What this machine can do at best, on the CPUs that the process may use:
//   limits THREADS BYTES
// float32 FMA peak (independent accumulators in registers) and plain read bandwidth over a buffer
// of BYTES that the threads share out. One JSON line. Built on the machine that it measures, for
// it.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace {

#ifdef __AVX512F__
constexpr int kVectorBytes = 64;
#else
constexpr int kVectorBytes = 32;
#endif
typedef float Floats __attribute__((vector_size(kVectorBytes)));
typedef uint64_t Words __attribute__((vector_size(kVectorBytes)));
constexpr double kSeconds = 0.15;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Repeats `pass` for kSeconds; the fastest pass in seconds.
double fastest(const std::function<void()>& pass) {
  const auto begin = Clock::now();
  double best = 1e30;
  while (seconds_since(begin) < kSeconds) {
    const auto pass_begin = Clock::now();
    pass();
    const double seconds = seconds_since(pass_begin);
    if (seconds < best) best = seconds;
  }
  return best;
}

constexpr int kAccumulators = 12;
constexpr int kSteps = 1 << 16;

// Locals stay in registers: two FMA units of latency 4 need at least 8 accumulators.
void fma_pass() {
  Floats sums[kAccumulators] = {};
  Floats factor = Floats{} + 0.999f;
  Floats term = Floats{} + 0.001f;
  asm volatile("" : "+x"(factor), "+x"(term));
  for (int step = 0; step < kSteps; ++step) {
    for (Floats& sum : sums) sum = sum * factor + term;
  }
  for (Floats& sum : sums) asm volatile("" : : "x"(sum));
}

double fma_gflops() {
  const double flop = 2.0 * kSteps * kAccumulators * (kVectorBytes / sizeof(float));
  return flop / fastest(fma_pass) / 1e9;
}

void read_pass(const std::vector<Words>& buffer) {
  Words sums[4] = {};
  for (size_t i = 0; i + 4 <= buffer.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] ^= buffer[i + lane];
  }
  for (Words& sum : sums) asm volatile("" : : "x"(sum));
}

double read_gb_per_second(const std::vector<Words>& buffer) {
  const double bytes = static_cast<double>(buffer.size()) * kVectorBytes;
  return bytes / fastest([&] { read_pass(buffer); }) / 1e9;
}

// Sum of `measure()` over the threads, which run at the same time.
double together(int threads, const std::function<double()>& measure) {
  std::vector<double> results(threads);
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) workers.emplace_back([&, t] { results[t] = measure(); });
  double sum = 0;
  for (int t = 0; t < threads; ++t) {
    workers[t].join();
    sum += results[t];
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const long long bytes = argc > 2 ? std::atoll(argv[2]) : 84'000'000;
  if (threads < 1 || bytes < threads * 4LL * kVectorBytes) {
    std::fprintf(stderr, "usage: limits THREADS BYTES\n");
    return 2;
  }
  const double flops = together(threads, fma_gflops);
  const double reads = together(threads, [&] {
    const std::vector<Words> buffer(bytes / threads / kVectorBytes, Words{} + 1);
    return read_gb_per_second(buffer);
  });
  std::printf(
      "{\"threads\": %d, \"fma_gflops\": %.1f, \"read_bytes\": %lld, \"read_gb_s\": %.2f}\n",
      threads, flops, bytes, reads);
}
