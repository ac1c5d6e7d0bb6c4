// Barriers of a block, shared memory, reductions, atomics, and what happens without a barrier.
#include "fixture.h"
#include "kernels/device.h"

namespace lockstep::test {

__global__ void count_predicates(int* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int any = __syncthreads_or(i == 70);
  const int all = __syncthreads_and(i >= 0);
  const int not_all = __syncthreads_and(i != 70);
  if (i == 0) {
    out[0] = count;
    out[1] = any;
    out[2] = all;
    out[3] = not_all;
  }
}

// Each round reads what a neighbour wrote in the round before.
__global__ void rotate(int* values, int rounds) {
  auto* ring = device::shared<int>(0, blockDim.x);
  ring[threadIdx.x] = static_cast<int>(threadIdx.x);
  for (int round = 0; round < rounds; ++round) {
    __syncthreads();
    const int next = ring[(threadIdx.x + 1) % blockDim.x];
    __syncthreads();
    ring[threadIdx.x] = next;
  }
  values[threadIdx.x] = ring[threadIdx.x];
}

// Half of the threads leave before the barrier, which then is for the others.
__global__ void leave_early(int* out) {
  if (threadIdx.x % 2 == 1) return;
  __syncthreads();
  atomicAdd(out, 1);
}

__global__ void all_atomics(int* i, unsigned* u, unsigned long long* l, float* f) {
  const int id = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&i[0], 1);
  atomicSub(&i[1], 1);
  atomicMax(&i[2], id);
  atomicMin(&i[3], id);
  atomicAdd(&u[0], 2U);
  atomicOr(&u[1], 1U << (id % 32));
  atomicInc(&u[2], 99U);
  atomicAdd(&l[0], 1ULL << 33);
  atomicAdd(f, 0.5F);
  while (atomicCAS(&u[3], 0U, 1U) != 0U) {  // a lock
  }
  __threadfence();
  i[4] += 1;
  __threadfence();
  atomicExch(&u[3], 0U);
}

__global__ void read_beyond_shared(float* out) {
  *out = device::shared<float>(0, 33)[32];
}

namespace {

using BarrierTest = EmulatorTest;

TEST_F(BarrierTest, separates_writes_from_reads_of_other_threads) {
  auto* values = on_device(numbered(4 * 192));
  launch({.grid = 4, .block = 192, .stream = new_stream(), .shared_bytes = 192 * sizeof(float)},
         reverse_in_block, values);
  const auto reversed = from_device(values, 4 * 192);
  for (std::size_t i = 0; i < reversed.size(); ++i) {
    ASSERT_EQ(reversed[i], static_cast<float>(i / 192 * 192 + 191 - i % 192));
  }
}

TEST_F(BarrierTest, holds_in_a_loop) {
  auto* values = on_device<int>(100);
  launch({.grid = 1, .block = 100, .stream = new_stream(), .shared_bytes = 100 * sizeof(int)},
         rotate, values, 250);
  const auto rotated = from_device(values, 100);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(rotated[static_cast<std::size_t>(i)], (i + 250) % 100);
}

// Drops each barrier of a run in turn: the result must show it.
TEST_F(BarrierTest, a_dropped_barrier_gives_a_wrong_result) {
  SKIP_UNDER_THREAD_SANITIZER();
  auto* values = on_device<int>(64);
  const auto run = [&](long dropped) {
    emulator::drop_barrier(dropped);
    launch({.grid = 1, .block = 64, .stream = new_stream(), .shared_bytes = 64 * sizeof(int)},
           rotate, values, 3);
    return from_device(values, 64);
  };
  const auto right = run(-1);
  const long barriers = emulator::barriers_seen();
  EXPECT_EQ(barriers, 6);
  for (long k = 0; k < barriers; ++k) EXPECT_NE(run(k), right) << "barrier " << k;
  EXPECT_EQ(run(barriers), right);
}

// Of two lines with a barrier, either; of atomics, all that stand on the line.
TEST_F(BarrierTest, what_stands_at_a_line_can_be_left_out) {
  SKIP_UNDER_THREAD_SANITIZER();
  auto* values = on_device<int>(64);
  auto* sums = on_device<int>(1);
  const cudaStream_t stream = new_stream();
  const auto run = [&](const std::string& site) {
    emulator::leave_out(site);
    check(cudaMemset(sums, 0, sizeof(int)), "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    launch({.grid = 1, .block = 64, .stream = stream, .shared_bytes = 64 * sizeof(int)}, rotate,
           values, 3);
    launch({.grid = 1, .block = 64, .stream = stream}, leave_early, sums);
    auto all = from_device(values, 64);
    all.push_back(from_device(sums, 1)[0]);
    return all;
  };
  const auto right = run("");
  const std::vector<std::string> sites = emulator::sites_seen();
  ASSERT_EQ(sites.size(), 4u);
  EXPECT_EQ(sites[0].rfind("__syncthreads at ", 0), 0u) << sites[0];
  EXPECT_EQ(sites[3].rfind("an atomic at ", 0), 0u) << sites[3];
  for (const int needed : {0, 1, 3}) EXPECT_NE(run(sites[needed]), right) << sites[needed];
  EXPECT_EQ(run(sites[2]), right) << "nobody waits for anything at " << sites[2];
}

TEST_F(BarrierTest, counts_predicates) {
  auto* out = on_device<int>(4);
  launch({.grid = 1, .block = 96, .stream = new_stream()}, count_predicates, out);
  EXPECT_EQ(from_device(out, 4), (std::vector<int>{32, 1, 1, 0}));
}

TEST_F(BarrierTest, is_for_the_threads_that_have_not_left) {
  auto* out = on_device(std::vector<int>{0});
  launch({.grid = 3, .block = 64, .stream = new_stream()}, leave_early, out);
  EXPECT_EQ(from_device(out, 1)[0], 96);
}

TEST_F(BarrierTest, block_sums_are_right) {
  std::vector<float> values(5 * 256);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17);
  auto* in = on_device(values);
  auto* out = on_device<float>(5);
  launch({.grid = 5, .block = 256, .stream = new_stream(), .shared_bytes = 32 * sizeof(float)},
         sum_blocks, in, out);
  const auto sums = from_device(out, 5);
  for (std::size_t block = 0; block < 5; ++block) {
    float expected = 0;
    for (std::size_t i = 0; i < 256; ++i) expected += values[block * 256 + i];
    EXPECT_EQ(sums[block], expected);
  }
}

TEST_F(BarrierTest, the_last_block_sees_what_the_others_wrote_before_their_fences) {
  auto* in = on_device(std::vector<float>(8 * 64, 1.0F));
  auto* partial = on_device<float>(8);
  auto* ended = on_device(std::vector<unsigned>{0});
  auto* out = on_device<float>(1);
  launch({.grid = 8, .block = 64, .stream = new_stream(), .shared_bytes = 33 * sizeof(float)},
         sum_by_last_block, in, partial, ended, out);
  EXPECT_EQ(from_device(out, 1)[0], 512.0F);
}

TEST_F(BarrierTest, atomics_lose_nothing) {
  auto* i = on_device(std::vector<int>{0, 0, -1, 1 << 30, 0});
  auto* u = on_device(std::vector<unsigned>{0, 0, 0, 0});
  auto* l = on_device(std::vector<unsigned long long>{0});
  auto* f = on_device(std::vector<float>{0});
  launch({.grid = 3, .block = 64, .stream = new_stream()}, all_atomics, i, u, l, f);
  EXPECT_EQ(from_device(i, 5), (std::vector<int>{192, -192, 191, 0, 192}));
  EXPECT_EQ(from_device(u, 4), (std::vector<unsigned>{384, 0xffffffffU, 92, 0}));
  EXPECT_EQ(from_device(l, 1)[0], 192ULL << 33);
  EXPECT_EQ(from_device(f, 1)[0], 96.0F);
}

TEST_F(BarrierTest, shared_memory_beyond_the_launchs_is_refused) {
  auto* out = on_device<float>(1);
  launch({.grid = 1, .block = 1, .stream = new_stream(), .shared_bytes = 32 * sizeof(float)},
         read_beyond_shared, out);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_NE(emulator::last_failure().find("asks for 132 bytes of shared memory"), std::string::npos)
      << emulator::last_failure();
}

}  // namespace
}  // namespace lockstep::test
