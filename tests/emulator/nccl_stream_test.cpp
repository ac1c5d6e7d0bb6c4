// Collectives in streams: what orders them and what they order, and what they cost.
#include <atomic>

#include "nccl_fixture.h"

namespace lockstep::test {
namespace {

constexpr std::size_t kCount = 64;
constexpr int kMostRuns = 500;  // a busy machine may be slower than its delays

// A rank's step as a training does it: the compute stream makes a gradient, the side stream reduces
// it after an event, the compute stream uses the sum after another.
struct Step {
  bool waits_before = true;
  bool waits_after = true;
  bool polls = true;  // until the collective is in its stream, before the event is recorded

  // 1 from each rank; what the compute stream saw of the sum.
  float operator()(const Rank& r) const {
    const cudaStream_t side = new_stream();
    const cudaEvent_t ready = new_event();
    const cudaEvent_t reduced = new_event();
    auto* ones = on_device(std::vector<float>(kCount, 1.0F));
    auto* gradient = on_device(std::vector<float>(kCount, 0.0F));
    auto* seen = on_device<float>(kCount);
    launch({.grid = 2, .block = 32, .stream = r.stream}, copy_floats, 64, ones, gradient);
    check(cudaEventRecord(ready, r.stream), "cudaEventRecord");
    if (waits_before) check(cudaStreamWaitEvent(side, ready), "cudaStreamWaitEvent");
    const ncclResult_t called =
        ncclAllReduce(gradient, gradient, kCount, ncclFloat32, ncclSum, r.comm, side);
    if (polls) check(called == ncclInProgress ? settle(r.comm) : called, "ncclAllReduce");
    check(cudaEventRecord(reduced, side), "cudaEventRecord");
    if (waits_after) check(cudaStreamWaitEvent(r.stream, reduced), "cudaStreamWaitEvent");
    launch({.grid = 2, .block = 32, .stream = r.stream}, copy_floats, 64, gradient, seen);
    const float sum = from_device(seen, kCount)[kCount - 1];
    check(settle(r.comm), "asynchronous error");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // of what was late
    return sum;
  }
};

class NcclStreamTest : public NcclTest {
 protected:
  // Whether a rank did not see the sum in one of so many runs, of as many seeds.
  static bool wrong(const Step& step, int size, int runs, bool blocking) {
    std::atomic<bool> wrong = false;
    for (int seed = 0; seed < runs && !wrong; ++seed) {
      emulator::reset(size);
      emulator::set_seed(static_cast<std::uint64_t>(seed));
      emulator::set_delays(2000, 2);
      emulator::set_late_enqueue(3000);
      run(size, blocking, [&](const Rank& r) {
        if (step(r) != static_cast<float>(size)) wrong = true;
      });
    }
    return wrong;
  }
};

TEST_F(NcclStreamTest, a_step_with_its_waits_is_right_for_all_seeds) {
  EXPECT_FALSE(wrong({}, 2, 10, true));
  EXPECT_FALSE(wrong({}, 2, 10, false));
  EXPECT_FALSE(wrong({}, 4, 10, false));
}

TEST_F(NcclStreamTest, a_missing_wait_gives_a_wrong_result) {
  SKIP_UNDER_THREAD_SANITIZER();
  EXPECT_TRUE(wrong({.waits_before = false}, 2, kMostRuns, true));
  EXPECT_TRUE(wrong({.waits_after = false}, 2, kMostRuns, true));
}

TEST_F(NcclStreamTest, an_event_recorded_before_the_collective_is_in_its_stream) {
  SKIP_UNDER_THREAD_SANITIZER();
  EXPECT_TRUE(wrong({.polls = false}, 2, kMostRuns, false));
  EXPECT_FALSE(wrong({.polls = false}, 2, 10, true)) << "a blocking call returns when it is there";
}

TEST_F(NcclStreamTest, calls_before_the_last_one_is_in_its_stream_are_refused) {
  emulator::reset(1);
  emulator::set_late_enqueue(20'000);
  run(1, false, [](const Rank& r) {
    auto* values = on_device(std::vector<float>(kCount, 1.0F));
    const auto reduce = [&] {
      return ncclAllReduce(values, values, kCount, ncclFloat32, ncclSum, r.comm, r.stream);
    };
    constexpr int kCalls = 30;
    int in_progress = 0, refused = 0;
    for (int i = 0; i < kCalls; ++i) {
      if (reduce() == ncclInProgress) {
        ++in_progress;
        // A thread that is slow calls when it is there: the delay may be short.
        const ncclResult_t second = reduce();
        if (second == ncclInvalidArgument) ++refused;
        EXPECT_TRUE(second == ncclInvalidArgument || second == ncclInProgress ||
                    second == ncclSuccess);
      }
      check(settle(r.comm), "ncclAllReduce");
    }
    EXPECT_GT(refused, 0);
    EXPECT_LT(in_progress, kCalls) << "some calls do it at once";
  });
}

TEST_F(NcclStreamTest, one_communicator_keeps_its_order_in_several_streams) {
  emulator::reset(2);
  emulator::set_delays(1000, 2);
  run(2, true, [](const Rank& r) {
    std::vector<float*> values;
    std::vector<Rank> ranks;
    for (std::size_t i = 0; i < 8; ++i) {
      values.push_back(on_device(std::vector<float>(i + 1, 1.0F)));
      ranks.push_back({r.rank, r.size, r.comm, new_stream()});
    }
    for (std::size_t i = 0; i < 8; ++i) ranks[i].all_reduce(values[i], values[i], i + 1);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(from_device(values[i], i + 1)[i], 2.0F);
  });
}

TEST_F(NcclStreamTest, a_captured_collective_runs_in_every_replay) {
  for (const bool blocking : {true, false}) {
    emulator::reset(2);
    emulator::set_delays(500, 2);
    run(2, blocking, [](const Rank& r) {
      auto* values = on_device(std::vector<float>(kCount, 1.0F));
      const cudaStream_t side = new_stream();
      const cudaEvent_t fork = new_event(), join = new_event();
      check(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeThreadLocal), "capture");
      check(cudaEventRecord(fork, r.stream), "cudaEventRecord");
      check(cudaStreamWaitEvent(side, fork), "cudaStreamWaitEvent");
      const Rank other{r.rank, r.size, r.comm, side};
      other.all_reduce(values, values, kCount);
      check(cudaEventRecord(join, side), "cudaEventRecord");
      check(cudaStreamWaitEvent(r.stream, join), "cudaStreamWaitEvent");
      launch({.grid = 2, .block = 32, .stream = r.stream}, axpy, 64, 1.0F, values, values);
      cudaGraph_t graph = nullptr;
      cudaGraphExec_t exec = nullptr;
      check(cudaStreamEndCapture(r.stream, &graph), "cudaStreamEndCapture");
      check(cudaGraphInstantiate(&exec, graph), "cudaGraphInstantiate");
      EXPECT_EQ(from_device(values, kCount)[3], 1.0F) << "capturing runs nothing";
      for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(exec, r.stream), "cudaGraphLaunch");
      EXPECT_EQ(from_device(values, kCount)[3], 64.0F);
      check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
      check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    });
  }
}

// Milliseconds between two events around one all-reduce of 1 MB.
float milliseconds_of_all_reduce() {
  float longest = 0;
  emulator::set_delays(0);
  NcclTest::run(2, true, [&](const Rank& r) {
    auto* values = on_device<float>(1 << 18);
    const cudaEvent_t begin = new_event(), end = new_event();
    check(cudaEventRecord(begin, r.stream), "cudaEventRecord");
    r.all_reduce(values, values, 1 << 18);
    check(cudaEventRecord(end, r.stream), "cudaEventRecord");
    check(cudaStreamSynchronize(r.stream), "cudaStreamSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (r.rank == 0) longest = milliseconds;
  });
  return longest;
}

TEST_F(NcclStreamTest, communication_costs_what_is_set) {
  emulator::reset(2);
  emulator::set_communication_cost(0.020, 0);
  EXPECT_GE(milliseconds_of_all_reduce(), 20.0F);
  emulator::set_communication_cost(0, 1048576.0 / 0.030);
  EXPECT_GE(milliseconds_of_all_reduce(), 30.0F);
}

// Whether other streams' work ends while a collective takes its time, with two ranks.
bool others_end_before(double latency) {
  std::atomic<bool> before = true;
  emulator::set_communication_cost(latency, 0);
  NcclTest::run(2, true, [&](const Rank& r) {
    auto* values = on_device<float>(4);
    const cudaStream_t compute = new_stream();
    r.all_reduce(values, values, 4);
    launch({.grid = 2, .block = 32, .stream = compute}, write_index, on_device<int>(64));
    check(cudaStreamSynchronize(compute), "cudaStreamSynchronize");
    if (cudaStreamQuery(r.stream) != cudaErrorNotReady) before = false;
  });
  return before;
}

// Of virtual time, in which that is a matter of order, virtual_time_test.cpp says more.
TEST_F(NcclStreamTest, communication_overlaps_other_streams) {
  emulator::reset(2);
  bool before = false;
  for (double latency = 0.1; !before && latency < 30; latency *= 4) {
    before = others_end_before(latency);
  }
  EXPECT_TRUE(before);
}

TEST_F(NcclStreamTest, one_operation_at_a_time) {
  for (const bool blocking : {true, false}) {
    emulator::reset(2);
    emulator::set_one_at_a_time(true);
    run(2, blocking, [](const Rank& r) {
      auto* values = on_device(std::vector<float>(kCount, 1.0F));
      r.all_reduce(values, values, kCount);
      EXPECT_EQ(cudaStreamQuery(r.stream), cudaSuccess) << "it has ended";
      launch({.grid = 2, .block = 32, .stream = r.stream}, axpy, 64, 1.0F, values, values);
      EXPECT_EQ(from_device(values, kCount)[0], 4.0F);
    });
    emulator::set_one_at_a_time(false);
  }
}

}  // namespace
}  // namespace lockstep::test
