// Capture and replay of graphs.
#include <chrono>
#include <thread>

#include "fixture.h"

namespace lockstep::test {
namespace {

class GraphTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    main_ = new_stream();
    side_ = new_stream();
    fork_ = new_event();
    join_ = new_event();
  }

  void begin() { check(cudaStreamBeginCapture(main_, cudaStreamCaptureModeThreadLocal), "begin"); }

  cudaGraphExec_t end() {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    check(cudaStreamEndCapture(main_, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&exec, graph), "cudaGraphInstantiate");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    return exec;
  }

  // a: 1 -> b = a and, on the side stream, c = a -> d = b + c.
  cudaGraphExec_t capture_diamond(float* a, float* b, float* c, float* d) {
    begin();
    launch({.grid = 1, .block = 64, .stream = main_}, axpy, 64, 1.0F, ones_, a);
    check(cudaEventRecord(fork_, main_), "cudaEventRecord");
    check(cudaStreamWaitEvent(side_, fork_), "cudaStreamWaitEvent");
    launch({.grid = 1, .block = 64, .stream = main_}, copy_floats, 64, a, b);
    launch({.grid = 1, .block = 64, .stream = side_}, copy_floats, 64, a, c);
    check(cudaEventRecord(join_, side_), "cudaEventRecord");
    check(cudaStreamWaitEvent(main_, join_), "cudaStreamWaitEvent");
    check(cudaMemcpyAsync(d, b, 64 * sizeof(float), cudaMemcpyDeviceToDevice, main_), "copy");
    launch({.grid = 1, .block = 64, .stream = main_}, axpy, 64, 1.0F, c, d);
    return end();
  }

  void allocate() {
    ones_ = on_device(std::vector<float>(64, 1.0F));
    a_ = on_device(std::vector<float>(64, 0.0F));
    b_ = on_device<float>(64);
    c_ = on_device(std::vector<float>(64, 0.0F));
    d_ = on_device<float>(64);
  }

  cudaStream_t main_ = nullptr;
  cudaStream_t side_ = nullptr;
  cudaEvent_t fork_ = nullptr;
  cudaEvent_t join_ = nullptr;
  float *ones_ = nullptr, *a_ = nullptr, *b_ = nullptr, *c_ = nullptr, *d_ = nullptr;
};

TEST_F(GraphTest, capturing_runs_nothing_and_replay_runs_it_each_time) {
  allocate();
  begin();
  launch({.grid = 1, .block = 64, .stream = main_}, axpy, 64, 1.0F, ones_, a_);
  const cudaGraphExec_t exec = end();
  EXPECT_EQ(from_device(a_, 64)[63], 0.0F);
  for (int i = 0; i < 5; ++i) check(cudaGraphLaunch(exec, main_), "cudaGraphLaunch");
  EXPECT_EQ(from_device(a_, 64)[63], 5.0F);
  check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
}

TEST_F(GraphTest, forks_and_joins_are_kept_in_replay) {
  emulator::set_delays(500, 2);
  allocate();
  const cudaGraphExec_t exec = capture_diamond(a_, b_, c_, d_);
  for (int run = 1; run <= 10; ++run) {
    check(cudaGraphLaunch(exec, main_), "cudaGraphLaunch");
    EXPECT_EQ(from_device(d_, 64)[63], 2.0F * static_cast<float>(run));
  }
  // Several runs on the way, in two streams: they do not overlap.
  for (int run = 0; run < 4; ++run) {
    check(cudaGraphLaunch(exec, run % 2 == 0 ? main_ : side_), "cudaGraphLaunch");
  }
  EXPECT_EQ(from_device(d_, 64)[63], 28.0F);
}

// Each of the two waits of the diamond, dropped, must show.
TEST_F(GraphTest, a_dropped_wait_in_a_capture_gives_a_wrong_result) {
  SKIP_UNDER_THREAD_SANITIZER();
  emulator::set_delays(2000);
  for (long k = 0; k < 2; ++k) {
    allocate();
    emulator::drop_event_wait(k);
    const cudaGraphExec_t exec = capture_diamond(a_, b_, c_, d_);
    EXPECT_EQ(emulator::event_waits_seen(), 2);
    bool right = true;
    for (int run = 1; right && run <= 3000; ++run) {
      check(cudaGraphLaunch(exec, main_), "cudaGraphLaunch");
      right = from_device(d_, 64)[63] == 2.0F * static_cast<float>(run);
    }
    EXPECT_FALSE(right) << "wait " << k;
  }
}

TEST_F(GraphTest, work_that_is_not_joined_is_refused) {
  allocate();
  begin();
  check(cudaEventRecord(fork_, main_), "cudaEventRecord");
  check(cudaStreamWaitEvent(side_, fork_), "cudaStreamWaitEvent");
  launch({.grid = 1, .block = 64, .stream = side_}, copy_floats, 64, ones_, c_);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
  launch({.grid = 1, .block = 64, .stream = side_}, copy_floats, 64, ones_, c_);
  EXPECT_EQ(from_device(c_, 64)[0], 1.0F) << "the stream works again";
}

TEST_F(GraphTest, what_would_wait_for_the_capture_is_refused) {
  allocate();
  begin();
  launch({.grid = 1, .block = 64, .stream = main_}, axpy, 64, 1.0F, ones_, a_);
  EXPECT_EQ(cudaStreamSynchronize(main_), cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorStreamCaptureInvalidated);

  begin();
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorStreamCaptureInvalidated);

  check(cudaEventRecord(fork_, side_), "cudaEventRecord");
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(main_, fork_), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(side_, &graph), cudaErrorInvalidValue);
  check(cudaStreamEndCapture(main_, &graph), "cudaStreamEndCapture");
}

TEST_F(GraphTest, an_external_event_is_recorded_by_every_run) {
  const cudaEvent_t start = new_event(), stop = new_event();
  begin();
  check(cudaEventRecordWithFlags(start, main_, cudaEventRecordExternal), "record");
  const auto sleep = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(3)); };
  check(cudaLaunchHostFunc(main_, sleep, nullptr), "cudaLaunchHostFunc");
  check(cudaEventRecordWithFlags(stop, main_, cudaEventRecordExternal), "record");
  const cudaGraphExec_t exec = this->end();
  float milliseconds = 0;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, stop), cudaErrorInvalidResourceHandle)
      << "no run has recorded them";
  (void)cudaGetLastError();
  for (int run = 0; run < 2; ++run) {
    milliseconds = 0;
    check(cudaGraphLaunch(exec, main_), "cudaGraphLaunch");
    check(cudaStreamSynchronize(main_), "cudaStreamSynchronize");
    check(cudaEventElapsedTime(&milliseconds, start, stop), "cudaEventElapsedTime");
    EXPECT_GE(milliseconds, 3.0F);
    EXPECT_LT(milliseconds, 100'000.0F) << "of this run";
  }
  EXPECT_EQ(cudaEventRecordWithFlags(start, main_, cudaEventRecordExternal), cudaErrorInvalidValue)
      << "outside a capture";
  (void)cudaGetLastError();
  check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
}

}  // namespace
}  // namespace lockstep::test
