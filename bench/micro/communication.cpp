// Two workers of one process: the spin barrier, and the all-reduce against its size. Latency's
// floor is the barrier; for large arrays it is the memory: of S bytes a worker, an all-reduce
// moves 2 (W - 1) / W S over the "bus" whatever the algorithm, and bus/s is set against what two
// threads read together from a buffer of W S bytes, 8 MB at least.
#include <memory>

#include "comm/thread_communicator.h"
#include "micro/micro.h"
#include "train/machine.h"

namespace lockstep::bench {
namespace {

constexpr int kWorkers = 2;
constexpr double kTimeout = 60.0;

std::unique_ptr<ThreadGroup> group;  // of the benchmark in hand

void make_group(const benchmark::State&) {
  group = std::make_unique<ThreadGroup>(kWorkers, kTimeout, usable_cpus());
}

void barrier(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) group->barrier(state.thread_index());
}
BENCHMARK(barrier)->Setup(make_group)->Threads(kWorkers)->UseRealTime();

void prepare_all_reduce(const benchmark::State& state) {
  make_group(state);
  read_limit(static_cast<double>(kWorkers * state.range(0)), kWorkers);
}

void all_reduce(benchmark::State& state, AllReduceAlgorithm algorithm) {
  const int rank = state.thread_index();
  Buffer<float> data(static_cast<size_t>(state.range(0)) / sizeof(float));
  {
    ThreadCommunicator communicator(*group, rank, algorithm);
    for ([[maybe_unused]] auto _ : state) {  // of zeros: sums of sums stay what they are
      communicator.all_reduce(data.span());
      communicator.wait();
    }
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>((i + rank) % 1024);
    communicator.all_reduce(data.span());
    communicator.wait();
  }
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t sum = i % 1024 + (i + 1) % 1024;
    if (data[i] != static_cast<float>(sum)) return require(state, false);
  }
  if (rank != 0) return;
  using benchmark::Counter;
  const double bus = 2.0 * (kWorkers - 1) / kWorkers * static_cast<double>(state.range(0));
  const double limit = read_limit(static_cast<double>(kWorkers * state.range(0)), kWorkers);
  state.counters["bus/s"] =
      Counter(bus, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000);
  state.counters["of_read"] = Counter(bus / limit, Counter::kIsIterationInvariantRate);
}

// Bytes: small ones, the parameters of mlp-mnist and mlp-adam, and more than a cache holds.
void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("bytes")->Arg(4 << 10)->Arg(64 << 10)->Arg(256 << 10);
  benchmark->Arg(235146 * 4)->Arg(1 << 20)->Arg(567434 * 4)->Arg(32 << 20);
  benchmark->Setup(prepare_all_reduce)->Threads(kWorkers)->UseRealTime();
}

BENCHMARK_CAPTURE(all_reduce, ring, AllReduceAlgorithm::ring)->Apply(sizes);
BENCHMARK_CAPTURE(all_reduce, direct, AllReduceAlgorithm::direct)->Apply(sizes);
BENCHMARK_CAPTURE(all_reduce, central, AllReduceAlgorithm::central)->Apply(sizes);

}  // namespace
}  // namespace lockstep::bench
