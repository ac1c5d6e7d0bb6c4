// Streams and events: what they order, and that nothing else is ordered.
#include <atomic>
#include <chrono>
#include <thread>

#include "fixture.h"

namespace lockstep::test {
namespace {

class StreamTest : public EmulatorTest {
 protected:
  static constexpr int kRuns = 20;
  static constexpr int kMostRuns = 500;  // a busy machine may be slower than its delays

  // A producer in one stream and a consumer in another, with the event's wait or without. Returns
  // whether the consumer saw what was there before in one of so many runs, of as many seeds.
  template <class Connect>
  bool stale_read(int runs, unsigned flags, Connect connect) {
    bool stale = false;
    for (int seed = 0; seed < runs && !stale; ++seed) {
      emulator::reset();
      emulator::set_seed(static_cast<std::uint64_t>(seed));
      emulator::set_delays(3000);
      const cudaStream_t producer = new_stream(flags);
      const cudaStream_t consumer = new_stream(flags);
      auto* value = on_device(std::vector<float>(64, 0.0F));
      auto* ones = on_device(std::vector<float>(64, 1.0F));
      auto* seen = on_device<float>(64);
      launch({.grid = 2, .block = 32, .stream = producer}, copy_floats, 64, ones, value);
      connect(producer, consumer);
      launch({.grid = 2, .block = 32, .stream = consumer}, copy_floats, 64, value, seen);
      stale = from_device(seen, 64)[63] != 1.0F;
    }
    return stale;
  }
};

void record_and_wait(cudaStream_t producer, cudaStream_t consumer) {
  const cudaEvent_t event = new_event();
  check(cudaEventRecord(event, producer), "cudaEventRecord");
  check(cudaStreamWaitEvent(consumer, event), "cudaStreamWaitEvent");
}

TEST_F(StreamTest, operations_of_a_stream_keep_their_order) {
  emulator::set_delays(200, 2);
  const cudaStream_t stream = new_stream();
  auto* y = on_device(std::vector<float>(128, 1.0F));
  auto* x = on_device(std::vector<float>(128, 1.0F));
  for (int i = 0; i < 20; ++i) {
    launch({.grid = 2, .block = 64, .stream = stream}, axpy, 128, 1.0F, y, x);
    check(cudaMemcpyAsync(y, x, 128 * sizeof(float), cudaMemcpyDeviceToDevice, stream), "copy");
  }
  EXPECT_EQ(from_device(y, 128)[127], 1048576.0F);
}

TEST_F(StreamTest, an_event_orders_two_streams) {
  EXPECT_FALSE(stale_read(kRuns, cudaStreamNonBlocking, record_and_wait));
}

TEST_F(StreamTest, a_missing_event_wait_gives_a_wrong_result) {
  SKIP_UNDER_THREAD_SANITIZER();
  EXPECT_TRUE(stale_read(kMostRuns, cudaStreamNonBlocking, [](cudaStream_t, cudaStream_t) {}));
}

TEST_F(StreamTest, a_dropped_event_wait_gives_a_wrong_result) {
  SKIP_UNDER_THREAD_SANITIZER();
  EXPECT_TRUE(stale_read(kMostRuns, cudaStreamNonBlocking,
                         [](cudaStream_t producer, cudaStream_t consumer) {
                           emulator::drop_event_wait(0);
                           record_and_wait(producer, consumer);
                           EXPECT_EQ(emulator::event_waits_seen(), 1);
                         }));
}

TEST_F(StreamTest, a_wait_for_an_event_recorded_later_waits_for_nothing) {
  SKIP_UNDER_THREAD_SANITIZER();
  EXPECT_TRUE(stale_read(kMostRuns, cudaStreamNonBlocking,
                         [](cudaStream_t producer, cudaStream_t consumer) {
                           const cudaEvent_t event = new_event();
                           check(cudaStreamWaitEvent(consumer, event), "cudaStreamWaitEvent");
                           check(cudaEventRecord(event, producer), "cudaEventRecord");
                         }));
}

// The legacy default stream stands between blocking streams, and not between others.
void fill_by_default_stream(cudaStream_t, cudaStream_t) {
  static int* nothing = nullptr;
  check(cudaMalloc(&nothing, sizeof(int)), "cudaMalloc");
  check(cudaMemset(nothing, 0, sizeof(int)), "cudaMemset");
}

TEST_F(StreamTest, the_default_stream_orders_blocking_streams) {
  EXPECT_FALSE(stale_read(kRuns, cudaStreamDefault, fill_by_default_stream));
}

TEST_F(StreamTest, the_default_stream_does_not_order_non_blocking_streams) {
  SKIP_UNDER_THREAD_SANITIZER();
  EXPECT_TRUE(stale_read(kMostRuns, cudaStreamNonBlocking, fill_by_default_stream));
}

TEST_F(StreamTest, query_and_synchronize) {
  const cudaStream_t stream = new_stream();
  std::atomic<bool> go = false;
  const auto hold = [](void* flag) {
    while (!*static_cast<std::atomic<bool>*>(flag)) std::this_thread::yield();
  };
  check(cudaLaunchHostFunc(stream, hold, &go), "cudaLaunchHostFunc");
  const cudaEvent_t event = new_event();
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess) << "never recorded: nothing to wait for";
  check(cudaEventRecord(event, stream), "cudaEventRecord");
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "not ready is no error";
  go = true;
  check(cudaEventSynchronize(event), "cudaEventSynchronize");
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
}

TEST_F(StreamTest, elapsed_time_covers_what_lies_between) {
  const cudaStream_t stream = new_stream();
  const cudaEvent_t start = new_event();
  const cudaEvent_t end = new_event();
  check(cudaEventRecord(start, stream), "cudaEventRecord");
  const auto sleep = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  check(cudaLaunchHostFunc(stream, sleep, nullptr), "cudaLaunchHostFunc");
  check(cudaEventRecord(end, stream), "cudaEventRecord");
  check(cudaEventSynchronize(end), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start, end), "cudaEventElapsedTime");
  EXPECT_GE(milliseconds, 5.0F);
}

TEST_F(StreamTest, a_host_function_sees_what_came_before_it) {
  const cudaStream_t stream = new_stream();
  int* pinned = nullptr;
  check(cudaHostAlloc(&pinned, sizeof(int), cudaHostAllocMapped), "cudaHostAlloc");
  *pinned = 1;
  struct Seen {
    const int* source;
    int value = 0;
  } seen{pinned};
  launch({.grid = 1, .block = 1, .stream = stream}, set_flag, pinned, 42);
  const auto look = [](void* argument) {
    auto* into = static_cast<Seen*>(argument);
    into->value = *into->source;
  };
  check(cudaLaunchHostFunc(stream, look, &seen), "cudaLaunchHostFunc");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  EXPECT_EQ(seen.value, 42);
}

}  // namespace
}  // namespace lockstep::test
