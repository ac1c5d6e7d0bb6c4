// Launches, and what a launch is refused for.
#include "fixture.h"

namespace lockstep::test {
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

TEST_F(LaunchTest, a_stream_of_another_device_is_refused) {
  emulator::reset(2);
  const cudaStream_t stream = new_stream();
  check(cudaSetDevice(1), "cudaSetDevice");
  EXPECT_THROW(launch({.grid = 1, .block = 32, .stream = stream}, set_flag, nullptr, 1), Error);
}

}  // namespace
}  // namespace lockstep::test
