#include "machine_limits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "machine_limits.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Independent chains: enough to hide a multiply-add's latency in two units.
constexpr int kChains = 12;

// Runs rounds of kChains multiply-adds; returns their number times the lanes.
double multiply_add(size_t rounds, float* sink) {
  const FloatTag d;
  const FloatVector factor = hn::Set(d, 0.999f), addend = hn::Set(d, 0.001f);
  FloatVector chains[kChains];
  unroll<kChains>([&](auto i) __attribute__((always_inline))
                  HWY_ATTR { chains[i] = hn::Set(d, 1.0f + static_cast<float>(i)); });
  for (size_t round = 0; round < rounds; ++round) {
    unroll<kChains>([&](auto i) __attribute__((always_inline))
                    HWY_ATTR { chains[i] = hn::MulAdd(chains[i], factor, addend); });
  }
  unroll<kChains>([&](auto i) __attribute__((always_inline))
                  HWY_ATTR { *sink += hn::GetLane(chains[i]); });
  return static_cast<double>(rounds) * kChains * kLanes;
}

void read_all(const float* from, size_t size, float* sink) {
  const FloatTag d;
  FloatVector sums[8];
  unroll<8>([&](auto i) __attribute__((always_inline)) HWY_ATTR { sums[i] = hn::Zero(d); });
  for (size_t i = 0; i + 8 * kLanes <= size; i += 8 * kLanes) {
    unroll<8>([&](auto j) __attribute__((always_inline))
              HWY_ATTR { sums[j] = hn::Add(sums[j], hn::LoadU(d, from + i + j * kLanes)); });
  }
  unroll<8>([&](auto i) __attribute__((always_inline)) HWY_ATTR { *sink += hn::GetLane(sums[i]); });
}

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <barrier>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

namespace lockstep {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read_all);
HWY_EXPORT(target_name);

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The shortest time in which all threads finish work(thread), over repetitions for `seconds`.
double shortest(int threads, double seconds, const std::function<void(int)>& work) {
  double best = 1e30;
  bool stop = false;
  Clock::time_point start;
  const Clock::time_point begin = Clock::now();
  std::barrier before(threads, [&]() noexcept { start = Clock::now(); });
  std::barrier after(threads, [&]() noexcept {
    best = std::min(best, seconds_since(start));
    stop = seconds_since(begin) > seconds;
  });
  const auto run = [&](int thread) {
    while (!stop) {
      before.arrive_and_wait();
      work(thread);
      after.arrive_and_wait();
    }
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  return best;
}

}  // namespace

double fma_peak(int threads, double seconds) {
  constexpr size_t kRounds = 50000;
  std::vector<double> products(threads);
  std::vector<float> sinks(threads * 32);
  const double time = shortest(threads, seconds, [&](int thread) {
    products[thread] = HWY_DYNAMIC_DISPATCH(multiply_add)(kRounds, &sinks[thread * 32]);
  });
  return 2.0 * products[0] * threads / time / 1e9;
}

double read_bandwidth(std::span<const float> buffer, int threads, double seconds) {
  std::vector<float> sinks(threads * 32);
  const size_t part = buffer.size() / threads;
  const double time = shortest(threads, seconds, [&](int thread) {
    HWY_DYNAMIC_DISPATCH(read_all)(buffer.data() + thread * part, part, &sinks[thread * 32]);
  });
  return static_cast<double>(part * threads * sizeof(float)) / time / 1e9;
}

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

}  // namespace bench
}  // namespace lockstep
#endif  // HWY_ONCE
