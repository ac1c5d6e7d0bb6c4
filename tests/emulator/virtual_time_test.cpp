// Virtual time: what waits for what, and that a machine's own time, delays and orders do not show.
// Work that costs something is fills, of as many megabytes as a test says.
#include <array>
#include <chrono>
#include <cmath>
#include <thread>

#include "nccl_fixture.h"

namespace lockstep::test {
namespace {

constexpr std::size_t kMegabyte = 1 << 20;

class VirtualTimeTest : public NcclTest {
 protected:
  void SetUp() override {
    NcclTest::SetUp();
    renew(1);
    for (std::size_t megabytes = 1; megabytes < costs_.size(); ++megabytes) {
      costs_.at(megabytes) = measure(megabytes);
    }
  }

  static void renew(int devices) {
    emulator::reset(devices);
    emulator::set_virtual_time(true);
  }

  static cudaEvent_t record(cudaStream_t stream) {
    const cudaEvent_t event = new_event();
    check(cudaEventRecord(event, stream), "cudaEventRecord");
    return event;
  }

  static void let_wait(cudaStream_t stream, cudaEvent_t event) {
    check(cudaStreamWaitEvent(stream, event), "cudaStreamWaitEvent");
  }

  static long nanoseconds(double seconds) { return std::lround(1e9 * seconds); }

  static long between(cudaEvent_t start, cudaEvent_t end) {
    check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = -1;
    check(cudaEventElapsedTime(&milliseconds, start, end), "cudaEventElapsedTime");
    return nanoseconds(1e-3 * static_cast<double>(milliseconds));
  }

  // Of the calling thread's clock since a time that it showed.
  static long since(double seconds) { return nanoseconds(emulator::virtual_seconds() - seconds); }

  static void fill(cudaStream_t stream, std::size_t megabytes) {
    check(cudaMemsetAsync(on_device<char>(megabytes * kMegabyte), 0, megabytes * kMegabyte, stream),
          "cudaMemsetAsync");
  }

  // Of a fill. Known before a test begins, as asking moves the thread's clock.
  long cost(std::size_t megabytes) const { return costs_.at(megabytes); }

 private:
  static long measure(std::size_t megabytes) {
    const cudaStream_t stream = new_stream();
    const cudaEvent_t start = record(stream);
    fill(stream, megabytes);
    return between(start, record(stream));
  }

  std::array<long, 9> costs_{};
};

TEST_F(VirtualTimeTest, operations_of_one_stream_add_up) {
  const cudaStream_t stream = new_stream();
  const cudaEvent_t start = record(stream);
  fill(stream, 1);
  const cudaEvent_t middle = record(stream);
  fill(stream, 3);
  const cudaEvent_t end = record(stream);
  EXPECT_GT(cost(1), 0);
  EXPECT_GT(cost(3), 2 * cost(1)) << "a fill costs by its bytes";
  EXPECT_EQ(between(start, middle), cost(1));
  EXPECT_EQ(between(start, end), cost(1) + cost(3));
  EXPECT_EQ(between(end, start), -(cost(1) + cost(3)));
}

TEST_F(VirtualTimeTest, two_streams_overlap) {
  const cudaStream_t a = new_stream(), b = new_stream();
  const cudaEvent_t start = record(a);
  fill(a, 1);
  fill(b, 4);
  let_wait(a, record(b));
  EXPECT_EQ(between(start, record(a)), cost(4));
}

TEST_F(VirtualTimeTest, what_waits_for_an_event_starts_after_it) {
  const cudaStream_t a = new_stream(), b = new_stream();
  const cudaEvent_t start = record(a);
  fill(a, 4);
  const cudaEvent_t after = record(a);
  fill(a, 4);
  fill(b, 1);
  let_wait(b, after);
  fill(b, 2);
  EXPECT_EQ(between(start, record(b)), cost(4) + cost(2)) << "the event and not the stream's end";
  let_wait(b, start);
  fill(b, 1);
  EXPECT_EQ(between(start, record(b)), cost(4) + cost(2) + cost(1)) << "an earlier one: no wait";
}

TEST_F(VirtualTimeTest, the_default_stream_keeps_its_order) {
  const cudaStream_t a = new_stream(cudaStreamDefault), b = new_stream(cudaStreamDefault);
  const cudaEvent_t start = record(a);
  fill(a, 2);
  fill(nullptr, 1);
  fill(b, 3);
  EXPECT_EQ(between(start, record(b)), cost(2) + cost(1) + cost(3));
}

TEST_F(VirtualTimeTest, a_host_thread_that_waits_enqueues_later) {
  for (const bool asks : {false, true}) {
    const cudaStream_t a = new_stream(), b = new_stream(), c = new_stream();
    const double before = emulator::virtual_seconds();
    const cudaEvent_t start = record(a);
    fill(a, 3);
    const cudaEvent_t end = record(a);
    EXPECT_EQ(emulator::virtual_seconds(), before) << "enqueueing takes no time";
    fill(c, 1);
    if (asks) {
      while (cudaEventQuery(end) == cudaErrorNotReady) std::this_thread::yield();
    } else {
      check(cudaStreamSynchronize(a), "cudaStreamSynchronize");
    }
    EXPECT_EQ(since(before), cost(3));
    fill(b, 1);
    const cudaEvent_t of_b = record(b), of_c = record(c);
    EXPECT_EQ(between(start, of_b), cost(3) + cost(1));
    EXPECT_EQ(between(start, of_c), cost(3)) << "an event is not before its record";
  }
}

TEST_F(VirtualTimeTest, another_thread_that_waits_delays_nothing) {
  const cudaStream_t a = new_stream(), b = new_stream();
  const cudaEvent_t start = record(a);
  fill(a, 1);
  std::thread other([&] {
    check(cudaEventSynchronize(start), "cudaEventSynchronize");
    fill(b, 8);
    check(cudaStreamSynchronize(b), "cudaStreamSynchronize");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  });
  other.join();
  fill(a, 1);
  EXPECT_EQ(between(start, record(a)), 2 * cost(1));
}

TEST_F(VirtualTimeTest, host_work_takes_none) {
  const cudaStream_t stream = new_stream();
  const cudaEvent_t start = record(stream);
  const auto sleep = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  check(cudaLaunchHostFunc(stream, sleep, nullptr), "cudaLaunchHostFunc");
  sleep(nullptr);
  EXPECT_EQ(between(start, record(stream)), 0);
}

TEST_F(VirtualTimeTest, events_show_real_time_without_it) {
  emulator::reset();
  const cudaStream_t stream = new_stream();
  const cudaEvent_t start = record(stream);
  const auto sleep = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  check(cudaLaunchHostFunc(stream, sleep, nullptr), "cudaLaunchHostFunc");
  EXPECT_GE(between(start, record(stream)), 5'000'000) << "reset() has turned it off";
}

class KernelTimeTest : public VirtualTimeTest {
 protected:
  static long sum(unsigned blocks, unsigned threads, bool programmatic = false, int times = 1) {
    const cudaStream_t stream = new_stream();
    auto* values = on_device<float>(std::size_t{blocks} * threads);
    auto* sums = on_device<float>(blocks);
    check(cudaMemset(values, 0, blocks * threads * sizeof(float)), "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    const cudaEvent_t start = record(stream);
    for (int i = 0; i < times; ++i) {
      launch({.grid = blocks,
              .block = threads,
              .stream = stream,
              .shared_bytes = 32 * sizeof(float),
              .programmatic = programmatic},
             sum_blocks, values, sums);
    }
    return between(start, record(stream));
  }
  static long copy(int tiles) {
    const cudaStream_t stream = new_stream();
    auto* values = on_device(numbered(static_cast<std::size_t>(tiles) * 128));
    auto* copied = on_device<float>(static_cast<std::size_t>(tiles) * 128);
    const cudaEvent_t start = record(stream);
    launch({.grid = 1, .block = 32, .stream = stream, .shared_bytes = 2 * 128 * sizeof(float)},
           copy_by_stages, values, copied, tiles);
    return between(start, record(stream));
  }
};

TEST_F(KernelTimeTest, a_kernel_costs_by_the_steps_of_its_threads) {
  emulator::set_multiprocessors(0, 4);
  const long least = sum(1, 32), small = sum(1, 256);
  EXPECT_GT(least, 0);
  EXPECT_GT(small, least);
  EXPECT_EQ(sum(4, 256), small) << "a multiprocessor each";
  EXPECT_GT(sum(16, 256), small + 2 * (small - least));
  emulator::set_multiprocessors(0, 16);
  EXPECT_EQ(sum(16, 256), small);
  const long step = copy(20) - copy(10);
  EXPECT_GT(step, 0) << "a long loop costs more than a short one";
  EXPECT_EQ(copy(40) - copy(20), 2 * step);
}

TEST_F(KernelTimeTest, a_dependent_launch_comes_after_the_kernel_before_it) {
  const long one = sum(4, 64);
  EXPECT_EQ(sum(4, 64, false, 5), 5 * one);
  EXPECT_EQ(sum(4, 64, true, 5), 5 * one);
}

TEST_F(KernelTimeTest, no_seed_and_no_delay_changes_it) {
  const long sums = sum(6, 96, true, 4), copies = copy(7);
  for (unsigned seed = 0; seed < 10; ++seed) {
    emulator::set_seed(seed);
    emulator::set_delays(seed % 2 == 0 ? 3000 : 0, 2);
    EXPECT_EQ(sum(6, 96, true, 4), sums);
    EXPECT_EQ(copy(7), copies);
  }
}

// A fork, a join and the next run: 1, then 2 and 4 side by side, then 3 megabytes.
TEST_F(VirtualTimeTest, a_graph_keeps_its_edges_in_every_replay) {
  const cudaStream_t main = new_stream(), side = new_stream();
  const cudaEvent_t fork = new_event(), join = new_event(), start = new_event(), stop = new_event();
  std::array<char*, 4> memory{};
  for (auto& one : memory) one = on_device<char>(4 * kMegabyte);
  const auto fill = [&](cudaStream_t stream, std::size_t i, std::size_t megabytes) {
    check(cudaMemsetAsync(memory[i], 0, megabytes * kMegabyte, stream), "cudaMemsetAsync");
  };
  check(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal), "begin");
  check(cudaEventRecordWithFlags(start, main, cudaEventRecordExternal), "record");
  fill(main, 0, 1);
  check(cudaEventRecord(fork, main), "cudaEventRecord");
  let_wait(side, fork);
  fill(main, 1, 2);
  fill(side, 2, 4);
  check(cudaEventRecord(join, side), "cudaEventRecord");
  let_wait(main, join);
  fill(main, 3, 3);
  check(cudaEventRecordWithFlags(stop, main, cudaEventRecordExternal), "record");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  check(cudaStreamEndCapture(main, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&exec, graph), "cudaGraphInstantiate");
  const long run = cost(1) + cost(4) + cost(3);
  for (int i = 0; i < 3; ++i) {
    check(cudaGraphLaunch(exec, main), "cudaGraphLaunch");
    check(cudaStreamSynchronize(main), "cudaStreamSynchronize");
    EXPECT_EQ(between(start, stop), run);
  }
  const cudaEvent_t first = record(main);
  check(cudaGraphLaunch(exec, main), "cudaGraphLaunch");
  check(cudaGraphLaunch(exec, side), "cudaGraphLaunch");
  EXPECT_EQ(between(first, record(side)), 2 * run) << "runs of one graph do not overlap";
  check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
}

// So long that a test which really waited for it would fail.
constexpr double kLatency = 1000.0;

TEST_F(VirtualTimeTest, a_collective_starts_when_the_last_rank_has_come) {
  for (const bool blocking : {true, false}) {
    renew(3);
    emulator::set_communication_cost(kLatency, 0);
    run(3, blocking, [this](const Rank& r) {
      auto* values = on_device(std::vector<float>(64, 1.0F));
      const double before = emulator::virtual_seconds();
      if (r.rank == 1) fill(r.stream, 8);
      r.all_reduce(values, values, 64);
      if (r.rank == 2) fill(r.stream, 3);
      check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
      EXPECT_EQ(since(before), cost(8) + nanoseconds(kLatency) + (r.rank == 2 ? cost(3) : 0));
    });
  }
}

TEST_F(VirtualTimeTest, a_late_enqueueing_is_as_early_as_its_call) {
  renew(2);
  emulator::set_communication_cost(kLatency, 0);
  run(2, false, [](const Rank& r) {
    auto* values = on_device(std::vector<float>(64, 1.0F));
    const cudaStream_t other = new_stream();
    for (int i = 0; i < 8; ++i) {
      fill(other, 8);
      check(cudaStreamSynchronize(other), "cudaStreamSynchronize");
      const double called = emulator::virtual_seconds();
      r.all_reduce(values, values, 64);
      check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
      EXPECT_EQ(since(called), nanoseconds(kLatency));
    }
  });
}

TEST_F(VirtualTimeTest, send_and_receive_wait_for_each_other) {
  renew(2);
  run(2, true, [this](const Rank& r) {
    for (const int late : {0, 1}) {
      auto* value = on_device(std::vector<float>(1, 1.0F));
      const double before = emulator::virtual_seconds();
      if (r.rank == late) fill(r.stream, 5);
      check(r.rank == 0 ? ncclSend(value, 1, ncclFloat32, 1, r.comm, r.stream)
                        : ncclRecv(value, 1, ncclFloat32, 0, r.comm, r.stream),
            "a transfer");
      check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
      EXPECT_EQ(since(before), cost(5));
    }
  });
}

TEST_F(VirtualTimeTest, communication_costs_by_its_bytes_and_keeps_its_order) {
  renew(2);
  emulator::set_communication_cost(kLatency, 1e6);
  run(2, true, [](const Rank& r) {
    auto* values = on_device(std::vector<float>(250, 1.0F));
    auto* others = on_device(std::vector<float>(500, 1.0F));
    const double before = emulator::virtual_seconds();
    const Rank side{r.rank, r.size, r.comm, new_stream()};
    r.all_reduce(values, values, 250);
    side.all_reduce(others, others, 500);
    check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
    EXPECT_EQ(since(before), nanoseconds(kLatency + 0.001));
    check(cudaStreamSynchronize(side.stream), "cudaStreamSynchronize");
    EXPECT_EQ(since(before), nanoseconds(2 * kLatency + 0.003))
        << "one communicator, one after the other in whatever streams";
  });
}

// What a training step does: a bucket's sum beside the computation of the next one.
TEST_F(VirtualTimeTest, computation_hides_communication) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    renew(4);
    emulator::set_seed(seed);
    emulator::set_delays(1000, 2);
    emulator::set_late_enqueue(1000);
    emulator::set_communication_cost(1e-9 * static_cast<double>(cost(4)), 0);
    run(4, seed % 2 == 0, [this](const Rank& r) {
      constexpr int kBuckets = 5;
      auto* values = on_device(std::vector<float>(64, 1.0F));
      const cudaStream_t compute = new_stream();
      const cudaEvent_t start = record(compute);
      for (int i = 0; i < kBuckets; ++i) {
        fill(compute, 4);
        let_wait(r.stream, record(compute));
        r.all_reduce(values, values, 64);
      }
      const cudaEvent_t computed = record(compute);
      let_wait(compute, record(r.stream));
      EXPECT_EQ(between(start, computed), kBuckets * cost(4));
      EXPECT_EQ(between(computed, record(compute)), cost(4)) << "all but the last one is hidden";
    });
  }
}

}  // namespace
}  // namespace lockstep::test
