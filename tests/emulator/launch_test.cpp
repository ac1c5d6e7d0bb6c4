// Launches, and what a launch is refused for.
#include "fixture.h"
#include "kernels/device.h"

namespace lockstep::test {

__global__ void record_order(int* next, int* order) {
  order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x);
}

// A barrier of the whole grid, for a cooperative launch; then what all blocks wrote before it.
__global__ void meet_in_grid(unsigned* arrived, unsigned* values, unsigned* sums) {
  if (threadIdx.x == 0) {
    values[blockIdx.x] = blockIdx.x;
    __threadfence();
    atomicAdd(arrived, 1U);
    while (device::load_acquire(arrived) < gridDim.x) {
    }
    unsigned sum = 0;
    for (unsigned block = 0; block < gridDim.x; ++block) sum += values[block];
    sums[blockIdx.x] = sum;
  }
  __syncthreads();
}

namespace {

using LaunchTest = EmulatorTest;

TEST_F(LaunchTest, every_thread_of_every_block_runs_once) {
  const cudaStream_t stream = new_stream();
  auto* out = on_device<int>(7 * 96);
  launch({.grid = 7, .block = 96, .stream = stream}, write_index, out);
  const auto values = from_device(out, 7 * 96);
  for (int i = 0; i < 7 * 96; ++i) ASSERT_EQ(values[static_cast<std::size_t>(i)], i);
}

TEST_F(LaunchTest, arguments_are_converted_to_the_parameters_types) {
  auto* y = on_device(std::vector<float>{1, 2, 3});
  auto* x = on_device(std::vector<float>{10, 20, 30});
  launch({.grid = 1, .block = 32, .stream = new_stream()}, axpy, short{3}, 2, x, y);
  EXPECT_EQ(from_device(y, 3), (std::vector<float>{21, 42, 63}));
}

cudaError_t try_launch(dim3 grid, dim3 block, std::size_t shared_bytes, unsigned cluster) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config{grid, block, shared_bytes, nullptr, &attribute, 1};
  int* nowhere = nullptr;
  return cudaLaunchKernelEx(&config, set_flag, nowhere, 1);
}

TEST_F(LaunchTest, what_a_gpu_refuses_is_refused) {
  EXPECT_EQ(try_launch(1, 1025, 0, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(try_launch(1, 0, 0, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(try_launch(dim3(1, 70000), 32, 0, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(try_launch(1, 32, 49 << 10, 1), cudaErrorInvalidValue);
  EXPECT_EQ(try_launch(6, 32, 0, 4), cudaErrorInvalidClusterSize);
  EXPECT_EQ(try_launch(16, 32, 0, 16), cudaErrorInvalidClusterSize);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidClusterSize);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "a refused launch is no error that sticks";
}

TEST_F(LaunchTest, a_cluster_needs_compute_capability_9) {
  emulator::set_compute_capability(0, 8, 0);
  EXPECT_EQ(try_launch(8, 32, 0, 2), cudaErrorNotSupported);
}

TEST_F(LaunchTest, the_wrapper_asks_for_large_shared_memory_and_names_the_place_of_an_error) {
  auto* values = on_device(numbered(256));
  launch({.grid = 1, .block = 256, .stream = new_stream(), .shared_bytes = 200 << 10},
         reverse_in_block, values);
  EXPECT_EQ(from_device(values, 256)[0], 255.0F);
  try {
    launch({.grid = 1, .block = 2000, .stream = new_stream()}, set_flag, nullptr, 1);
    FAIL() << "a block of 2000 threads was launched";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_NE(std::string(error.what()).find("launch_test.cpp"), std::string::npos) << error.what();
  }
}

TEST_F(LaunchTest, blocks_run_in_an_order_that_the_seed_gives) {
  const auto order = [](std::uint64_t seed) {
    emulator::reset();
    emulator::set_seed(seed);
    auto* next = on_device(std::vector<int>{0});
    auto* blocks = on_device<int>(16);
    launch({.grid = 16, .block = 1, .stream = new_stream()}, record_order, next, blocks);
    return from_device(blocks, 16);
  };
  std::vector<int> ascending(16);
  for (int i = 0; i < 16; ++i) ascending[static_cast<std::size_t>(i)] = i;
  EXPECT_NE(order(1), ascending);
  EXPECT_NE(order(1), order(2));
  EXPECT_EQ(order(1), order(1));
}

TEST_F(LaunchTest, the_blocks_of_a_cooperative_launch_run_together) {
  auto* arrived = on_device(std::vector<unsigned>{0});
  auto* values = on_device<unsigned>(6);
  auto* sums = on_device<unsigned>(6);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{6, 32, 0, new_stream(), &attribute, 1};
  check(cudaLaunchKernelEx(&config, meet_in_grid, arrived, values, sums), "cudaLaunchKernelEx");
  EXPECT_EQ(from_device(sums, 6), std::vector<unsigned>(6, 15));
  config.gridDim = 1000;
  EXPECT_EQ(cudaLaunchKernelEx(&config, meet_in_grid, arrived, values, sums),
            cudaErrorCooperativeLaunchTooLarge);
}

TEST_F(LaunchTest, a_stream_of_another_device_is_refused) {
  emulator::reset(2);
  const cudaStream_t stream = new_stream();
  check(cudaSetDevice(1), "cudaSetDevice");
  EXPECT_THROW(launch({.grid = 1, .block = 32, .stream = stream}, set_flag, nullptr, 1), Error);
}

}  // namespace
}  // namespace lockstep::test
