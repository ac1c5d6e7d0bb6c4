// Clusters, distributed shared memory, mbarriers, asynchronous copies and dependent launches.
#include "fixture.h"
#include "kernels/device.h"

namespace lockstep::test {

// A producer warp and a consumer warp pass values through one slot, by two mbarriers.
__global__ void pass_through_slot(int* out, int rounds) {
  using namespace device;
  auto* full = shared<Mbarrier>(0);
  auto* empty = shared<Mbarrier>(8);
  auto* slot = shared<int>(16, 32);
  if (threadIdx.x == 0) {
    init_mbarrier(full, 32);
    init_mbarrier(empty, 32);
    fence_mbarriers();
  }
  __syncthreads();
  const unsigned lane = threadIdx.x % 32;
  for (int round = 0; round < rounds; ++round) {
    const unsigned parity = static_cast<unsigned>(round) & 1U;
    if (threadIdx.x < 32) {
      wait(empty, parity ^ 1U);  // passes at once in round 0: the phase before the first
      slot[lane] = round * 100 + static_cast<int>(lane);
      arrive(full);
    } else {
      wait(full, parity);
      out[round * 32 + static_cast<int>(lane)] = slot[31 - lane];
      arrive(empty);
    }
  }
}

// Reads its own copy at `when`: 0 before any wait, 1 after waiting for all but one group, 2 for
// all.
__global__ void read_copy(const float* from, float* seen, int when) {
  using namespace device;
  auto* tile = shared<float>(0, 8);
  copy_async_16(tile, from);
  commit_copies();
  copy_async_16(tile + 4, from + 4);
  commit_copies();
  if (when == 1) wait_copies<1>();
  if (when == 2) wait_copies<0>();
  for (int i = 0; i < 8; ++i) seen[i] = tile[i];
  wait_copies<0>();
}

__global__ void use_memory_of_ended_block(int* out) {
  using namespace device;
  auto* mine = shared<int>(0);
  *mine = 7;
  cluster_sync();
  if (cluster_rank() == 0) {
    for (int i = 0; i < 100; ++i) __nanosleep(100);
    *out = *of_block(mine, 1);  // block 1 has no reason to be there still
  }
}

__global__ void arrive_without_init(int* out) {
  device::arrive(device::shared<device::Mbarrier>(0));
  *out = 1;
}

namespace {

using ClusterTest = EmulatorTest;

TEST_F(ClusterTest, blocks_read_each_others_shared_memory) {
  auto* out = on_device<int>(16);
  launch({.grid = 16, .block = 32, .stream = new_stream(), .shared_bytes = 16, .cluster = 8},
         read_cluster, out);
  EXPECT_EQ(from_device(out, 16), std::vector<int>(16, 36));
  launch({.grid = 16, .block = 32, .stream = new_stream(), .shared_bytes = 16, .cluster = 16},
         read_cluster, out);
  EXPECT_EQ(from_device(out, 16), std::vector<int>(16, 136));
}

TEST_F(ClusterTest, arrivals_from_other_blocks_end_an_mbarriers_phase) {
  auto* out = on_device<int>(64);
  launch({.grid = 4, .block = 64, .stream = new_stream(), .shared_bytes = 80, .cluster = 4},
         gather_by_mbarrier, out);
  EXPECT_EQ(from_device(out, 64), std::vector<int>(64, 10));
}

TEST_F(ClusterTest, mbarriers_order_a_producer_and_a_consumer) {
  auto* out = on_device<int>(32 * 9);
  launch({.grid = 1, .block = 64, .stream = new_stream(), .shared_bytes = 16 + 128},
         pass_through_slot, out, 9);
  const auto passed = from_device(out, 32 * 9);
  for (int i = 0; i < 32 * 9; ++i) {
    ASSERT_EQ(passed[static_cast<std::size_t>(i)], i / 32 * 100 + 31 - i % 32);
  }
}

TEST_F(ClusterTest, an_mbarrier_must_be_initialised) {
  auto* out = on_device<int>(1);
  launch({.grid = 1, .block = 1, .stream = new_stream(), .shared_bytes = 8}, arrive_without_init,
         out);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_NE(emulator::last_failure().find("not initialised"), std::string::npos);
}

TEST_F(ClusterTest, the_shared_memory_of_a_block_ends_with_it) {
  SKIP_UNDER_THREAD_SANITIZER();
  if (emulator::under_address_sanitizer()) GTEST_SKIP() << "AddressSanitizer ends the program";
  auto* out = on_device<int>(2);
  int wrong = 0;
  for (int seed = 0; seed < 10; ++seed) {
    emulator::set_seed(static_cast<std::uint64_t>(seed));
    launch({.grid = 2, .block = 1, .stream = new_stream(), .shared_bytes = 16, .cluster = 2},
           use_memory_of_ended_block, out);
    wrong += from_device(out, 1)[0] != 7;
  }
  EXPECT_GT(wrong, 5);
}

TEST_F(ClusterTest, asynchronous_copies_arrive_when_they_are_waited_for) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  auto* from = on_device(values);
  auto* seen = on_device<float>(8);
  const auto run = [&](int when) {
    launch({.grid = 1, .block = 1, .stream = new_stream(), .shared_bytes = 32}, read_copy, from,
           seen, when);
    return from_device(seen, 8);
  };
  for (const float early : run(0)) EXPECT_TRUE(std::isnan(early));
  const auto half = run(1);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(half[i], values[i]);
  for (std::size_t i = 4; i < 8; ++i) EXPECT_TRUE(std::isnan(half[i]));
  EXPECT_EQ(run(2), values);
}

TEST_F(ClusterTest, a_pipeline_of_asynchronous_copies_copies) {
  const auto values = numbered(4 * 64 * 5);
  auto* from = on_device(values);
  auto* to = on_device<float>(values.size());
  launch(
      {.grid = 1, .block = 64, .stream = new_stream(), .shared_bytes = 2 * 4 * 64 * sizeof(float)},
      copy_by_stages, from, to, 5);
  EXPECT_EQ(from_device(to, values.size()), values);
}

// The second kernel starts when the first has launched it, and sees what that wrote only once it
// has waited for it.
TEST_F(ClusterTest, a_dependent_launch_overlaps_the_kernel_before_it) {
  const cudaStream_t stream = new_stream();
  auto* value = on_device<float>(1);
  auto* seen = on_device<float>(1);
  emulator::set_delays(0);
  const auto run = [&](bool waits) {
    check(cudaMemsetAsync(value, 0, sizeof(float), stream), "cudaMemsetAsync");
    launch({.grid = 1, .block = 32, .stream = stream}, write_late, value);
    launch({.grid = 1, .block = 1, .stream = stream, .programmatic = true}, read_early, value, seen,
           waits);
    return from_device(seen, 1)[0];
  };
  for (int i = 0; i < 20; ++i) ASSERT_EQ(run(true), 1.0F);
  SKIP_UNDER_THREAD_SANITIZER();
  int early = 0;
  for (int i = 0; i < 2000 && early == 0; ++i) early += run(false) == 0.0F;
  EXPECT_GT(early, 0) << "a kernel that does not wait always came too late to be wrong";
}

}  // namespace
}  // namespace lockstep::test
