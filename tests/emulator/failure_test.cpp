// Deadlocks, errors that stick, and injected failures.
#include <functional>

#include "fixture.h"
#include "kernels/device.h"

namespace lockstep::test {

__global__ void divide_at_barrier() {
  if (threadIdx.x < 8) {
    __syncthreads();
  } else {
    __syncwarp(0xffffffffU);
  }
}

__global__ void two_barriers(int* out) {
  if (threadIdx.x == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  *out = 1;
}

__global__ void wait_for_nobody() {
  auto* barrier = device::shared<device::Mbarrier>(0);
  device::init_mbarrier(barrier, 2);
  device::arrive(barrier);
  device::wait(barrier, 0);
}

__global__ void spin(unsigned* flag) {
  while (atomicAdd(flag, 0U) == 0U) {
  }
}

__global__ void trap_in_thread_3() {
  if (threadIdx.x == 3) __trap();
  __syncthreads();
}

namespace {

class FailureTest : public EmulatorTest {
 protected:
  static void expect_failure(std::vector<std::string> words) {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    const std::string failure = emulator::last_failure();
    for (const auto& word : words) {
      EXPECT_NE(failure.find(word), std::string::npos) << "'" << word << "' is not in: " << failure;
    }
  }
};

TEST_F(FailureTest, a_deadlock_is_reported_and_not_a_hang) {
  launch({.grid = 3, .block = 32, .stream = new_stream()}, divide_at_barrier);
  expect_failure({"deadlock in kernel lockstep::test::divide_at_barrier()", "block (",
                  "8 of its threads, the first of them (0,0,0), wait at __syncthreads at",
                  "24 of its threads, the first of them (8,0,0), wait at __syncwarp",
                  "failure_test.cpp:"});
}

TEST_F(FailureTest, threads_at_different_barriers_are_reported) {
  launch({.grid = 1, .block = 32, .stream = new_stream()}, two_barriers, on_device<int>(1));
  expect_failure({"kernel lockstep::test::two_barriers(int*), block (0,0,0), thread (",
                  "reached a __syncthreads that is not the one"});
}

TEST_F(FailureTest, a_phase_that_never_ends_is_a_deadlock) {
  launch({.grid = 1, .block = 1, .stream = new_stream(), .shared_bytes = 8}, wait_for_nobody);
  expect_failure({"deadlock", "wait_for_nobody", "wait at an mbarrier"});
}

TEST_F(FailureTest, spinning_for_ever_is_reported) {
  emulator::set_spin_limit(0.2);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, spin,
         on_device(std::vector<unsigned>{0}));
  expect_failure({"spin(unsigned int*)", "its threads spin"});
  emulator::set_spin_limit(20);
}

TEST_F(FailureTest, a_trap_names_the_thread) {
  launch({.grid = 1, .block = 32, .stream = new_stream()}, trap_in_thread_3);
  expect_failure({"trap_in_thread_3(), block (0,0,0), thread (3,0,0): __trap"});
}

TEST_F(FailureTest, the_error_sticks_until_the_device_is_reset) {
  const cudaStream_t stream = new_stream();
  auto* out = on_device(std::vector<int>{5});
  launch({.grid = 1, .block = 32, .stream = stream}, trap_in_thread_3);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure) << "asking does not clear it";
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorLaunchFailure);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorLaunchFailure);
  EXPECT_THROW(launch({.grid = 1, .block = 1, .stream = stream}, set_flag, out, 1), Error);
  check(cudaDeviceReset(), "cudaDeviceReset");
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  launch({.grid = 1, .block = 1, .stream = stream}, set_flag, out, 6);
  EXPECT_EQ(from_device(out, 1)[0], 6);
}

TEST_F(FailureTest, an_error_of_one_device_leaves_the_others_alone) {
  emulator::reset(2);
  emulator::fail_launch(1, cudaErrorIllegalAddress);
  auto* first = on_device(std::vector<int>{0});
  launch({.grid = 1, .block = 1, .stream = new_stream()}, set_flag, first, 1);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check(cudaSetDevice(1), "cudaSetDevice");
  auto* second = on_device(std::vector<int>{0});
  EXPECT_THROW(launch({.grid = 1, .block = 1, .stream = new_stream()}, set_flag, second, 1), Error);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(emulator::launches_seen(), 2);
  check(cudaSetDevice(0), "cudaSetDevice");
  EXPECT_EQ(from_device(first, 1)[0], 1);
}

TEST_F(FailureTest, each_kind_of_allocation_can_find_no_memory) {
  const cudaStream_t stream = new_stream();
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  EXPECT_EQ(emulator::held(), "1 streams, 1 graphs");
  void* memory = nullptr;
  cudaStream_t other = nullptr;
  cudaEvent_t event = nullptr;
  cudaGraphExec_t executable = nullptr;
  const std::vector<std::function<cudaError_t()>> allocations = {
      [&] { return cudaMalloc(&memory, 4); },
      [&] { return cudaMallocAsync(&memory, 4, stream); },
      [&] { return cudaHostAlloc(&memory, 8, cudaHostAllocMapped); },
      [&] { return cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking); },
      [&] { return cudaEventCreate(&event); },
      [&] { return cudaGraphInstantiate(&executable, graph, 0); }};
  for (const auto& allocate : allocations) {
    emulator::fail_allocation(0);
    EXPECT_EQ(allocate(), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
    EXPECT_EQ(allocate(), cudaSuccess);
    EXPECT_EQ(emulator::allocations_seen(), 2);
  }
  for (const char* what : {"4 bytes of device memory", "8 bytes of pinned memory", "2 streams",
                           "1 events", "1 graphs", "1 executable graphs"}) {
    EXPECT_NE(emulator::held().find(what), std::string::npos) << emulator::held();
  }
}

TEST_F(FailureTest, a_launch_that_is_refused_leaves_the_device_as_it_was) {
  const cudaStream_t stream = new_stream();
  auto* out = on_device(std::vector<int>{0});
  emulator::fail_launch(0, cudaErrorLaunchOutOfResources);
  EXPECT_THROW(launch({.grid = 1, .block = 1, .stream = stream}, set_flag, out, 1), Error);
  EXPECT_EQ(from_device(out, 1)[0], 0);
  launch({.grid = 1, .block = 1, .stream = stream}, set_flag, out, 2);
  EXPECT_EQ(from_device(out, 1)[0], 2);
}

TEST_F(FailureTest, an_error_names_the_kernel_and_how_it_was_launched) {
  const cudaStream_t stream = new_stream();
  const auto message = [&](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  auto* out = on_device(std::vector<int>{0});
  emulator::fail_launch(0, cudaErrorLaunchOutOfResources);
  const std::string refused = message(
      [&] { launch({.grid = 3, .block = dim3(4, 2), .stream = stream}, set_flag, out, 1); });
  for (const char* words : {"the launch of lockstep::test::set_flag(int*, int), grid 3 x 1 x 1, "
                            "block 4 x 2 x 1, 0 bytes of shared memory failed at ",
                            "failure_test.cpp:", "too many resources requested for launch"}) {
    EXPECT_NE(refused.find(words), std::string::npos) << refused;
  }
  emulator::fail_kernel(0, cudaErrorMisalignedAddress);
  launch({.grid = 1, .block = 32, .stream = stream}, set_flag, out, 1);
  const std::string late =
      message([&] { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); });
  for (const char* words :
       {"cudaStreamSynchronize failed at ", "cudaErrorMisalignedAddress",
        "launched last: lockstep::test::set_flag(int*, int), grid 1 x 1 x 1", ", at "}) {
    EXPECT_NE(late.find(words), std::string::npos) << late;
  }
}

}  // namespace
}  // namespace lockstep::test
