// Memory, copies, devices and what they say of themselves.
#include <cstring>
#include <thread>

#include "fixture.h"

namespace lockstep::test {
namespace {

using MemoryTest = EmulatorTest;

TEST_F(MemoryTest, a_device_has_as_much_as_its_limit) {
  emulator::set_memory_limit(0, 1000);
  void* first = nullptr;
  void* second = nullptr;
  EXPECT_EQ(cudaMalloc(&first, 600), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 600), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "out of memory does not stick";
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  EXPECT_EQ(free, 400U);
  EXPECT_EQ(total, 1000U);
  check(cudaFree(first), "cudaFree");
  EXPECT_EQ(cudaMalloc(&second, 600), cudaSuccess);
}

TEST_F(MemoryTest, begins_as_nan) {
  auto* values = on_device<float>(16);
  for (const float value : from_device(values, 16)) EXPECT_TRUE(std::isnan(value));
}

TEST_F(MemoryTest, copies_beyond_an_allocation_and_wrong_directions_are_refused) {
  auto* device = on_device<float>(16);
  std::vector<float> host(32);
  EXPECT_EQ(cudaMemcpy(device, host.data(), 17 * 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device + 8, host.data(), 9 * 4, cudaMemcpyDefault), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), device, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device + 1), cudaErrorInvalidValue);
  check(cudaFree(device), "cudaFree");
  EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

TEST_F(MemoryTest, pageable_sources_are_read_at_once) {
  emulator::set_delays(2000);
  const cudaStream_t stream = new_stream();
  auto* device = on_device<int>(1);
  for (int i = 0; i < 10; ++i) {
    int source = i;
    check(cudaMemcpyAsync(device, &source, sizeof source, cudaMemcpyHostToDevice, stream), "copy");
    source = -1;
    EXPECT_EQ(from_device(device, 1)[0], i);
  }
}

TEST_F(MemoryTest, pinned_sources_are_read_when_the_stream_comes_to_it) {
  SKIP_UNDER_THREAD_SANITIZER();
  emulator::set_delays(2000);
  const cudaStream_t stream = new_stream();
  auto* device = on_device<int>(1);
  int* source = nullptr;
  check(cudaMallocHost(&source, sizeof(int)), "cudaMallocHost");
  int changed = 0;
  for (int i = 0; i < 20; ++i) {
    *source = i;
    check(cudaMemcpyAsync(device, source, sizeof(int), cudaMemcpyHostToDevice, stream), "copy");
    *source = -1;
    changed += from_device(device, 1)[0] == -1;
  }
  EXPECT_GT(changed, 0);
}

TEST_F(MemoryTest, stream_ordered_allocation) {
  const cudaStream_t stream = new_stream();
  int* value = nullptr;
  check(cudaMallocAsync(&value, sizeof(int), stream), "cudaMallocAsync");
  launch({.grid = 1, .block = 1, .stream = stream}, set_flag, value, 3);
  int* pinned = nullptr;
  check(cudaMallocHost(&pinned, sizeof(int)), "cudaMallocHost");
  check(cudaMemcpyAsync(pinned, value, sizeof(int), cudaMemcpyDeviceToHost, stream), "copy");
  check(cudaFreeAsync(value, stream), "cudaFreeAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  EXPECT_EQ(*pinned, 3);
  EXPECT_EQ(cudaFree(value), cudaErrorInvalidValue) << "it is free";
}

TEST_F(MemoryTest, pointers_say_what_they_are) {
  emulator::reset(2);
  check(cudaSetDevice(1), "cudaSetDevice");
  auto* device = on_device<char>(8);
  char* pinned = nullptr;
  check(cudaHostAlloc(&pinned, 8, cudaHostAllocMapped), "cudaHostAlloc");
  int local = 0;
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, device + 7), "cudaPointerGetAttributes");
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  EXPECT_EQ(attributes.device, 1);
  check(cudaPointerGetAttributes(&attributes, pinned), "cudaPointerGetAttributes");
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  check(cudaPointerGetAttributes(&attributes, &local), "cudaPointerGetAttributes");
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

TEST_F(MemoryTest, devices_are_apart_and_each_host_thread_has_its_own) {
  emulator::reset(4);
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  EXPECT_EQ(count, 4);
  std::vector<std::thread> threads;
  std::vector<int> results(4);
  for (int device = 0; device < 4; ++device) {
    threads.emplace_back([device, &results] {
      check(cudaSetDevice(device), "cudaSetDevice");
      auto* out = on_device<int>(64);
      launch({.grid = 2, .block = 32, .stream = new_stream()}, write_index, out);
      results[static_cast<std::size_t>(device)] = from_device(out, 64)[63] + device;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(results, (std::vector<int>{63, 64, 65, 66}));
  int current = -1;
  check(cudaGetDevice(&current), "cudaGetDevice");
  EXPECT_EQ(current, 0);
  EXPECT_EQ(cudaSetDevice(4), cudaErrorInvalidDevice);
}

TEST_F(MemoryTest, peers_copy_in_the_order_that_events_give) {
  emulator::reset(2);
  emulator::set_delays(1000);
  const cudaStream_t first = new_stream();
  const cudaEvent_t written = new_event();
  auto* from = on_device<float>(64);
  auto* ones = on_device(std::vector<float>(64, 1.0F));
  launch({.grid = 1, .block = 64, .stream = first}, copy_floats, 64, ones, from);
  check(cudaEventRecord(written, first), "cudaEventRecord");
  check(cudaSetDevice(1), "cudaSetDevice");
  const cudaStream_t second = new_stream();
  auto* to = on_device<float>(64);
  check(cudaStreamWaitEvent(second, written), "cudaStreamWaitEvent");
  check(cudaMemcpyPeerAsync(to, 1, from, 0, 64 * sizeof(float), second), "cudaMemcpyPeerAsync");
  EXPECT_EQ(from_device(to, 64)[63], 1.0F);
  EXPECT_EQ(cudaEventRecord(written, second), cudaErrorInvalidResourceHandle)
      << "an event belongs to its device";
}

TEST_F(MemoryTest, properties_say_that_this_is_an_emulator) {
  emulator::reset(2);
  emulator::set_compute_capability(1, 8, 0);
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 1), "cudaGetDeviceProperties");
  EXPECT_NE(std::strstr(properties.name, "emulator"), nullptr);
  EXPECT_EQ(properties.major, 8);
  char first[16];
  char second[16];
  check(cudaDeviceGetPCIBusId(first, 16, 0), "cudaDeviceGetPCIBusId");
  check(cudaDeviceGetPCIBusId(second, 16, 1), "cudaDeviceGetPCIBusId");
  EXPECT_STRNE(first, second);
}

TEST_F(MemoryTest, a_machine_without_a_device) {
  emulator::reset(0);
  int count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorNoDevice);
}

TEST_F(MemoryTest, one_operation_at_a_time_gives_the_same_results) {
  emulator::set_one_at_a_time(true);
  const cudaStream_t stream = new_stream();
  auto* x = on_device(std::vector<float>(64, 2.0F));
  auto* y = on_device(std::vector<float>(64, 1.0F));
  launch({.grid = 2, .block = 32, .stream = stream}, axpy, 64, 3.0F, x, y);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess) << "the call returns when the kernel has ended";
  EXPECT_EQ(from_device(y, 64)[63], 7.0F);
}

}  // namespace
}  // namespace lockstep::test
