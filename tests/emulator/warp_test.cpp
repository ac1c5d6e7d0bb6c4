// Shuffles, votes and masks.
#include <cuda_bf16.h>

#include "fixture.h"
#include "kernels/reduce.h"

namespace lockstep::test {

__global__ void shuffle_all_ways(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = __shfl_xor_sync(0xffffffffU, lane, 5);
  out[32 + lane] = __shfl_up_sync(0xffffffffU, lane, 3);
  out[64 + lane] = __shfl_down_sync(0xffffffffU, lane, 3, 8);
  out[96 + lane] = __shfl_sync(0xffffffffU, lane, 9, 4);
}

// The two halves of the warp diverge, and shuffle apart, in different numbers of steps.
__global__ void shuffle_in_halves(long long* out) {
  const auto lane = static_cast<long long>(threadIdx.x);
  long long sum = lane;
  if (lane < 16) {
    for (int d = 8; d > 0; d /= 2) sum += __shfl_xor_sync(0x0000ffffU, sum, d);
  } else {
    sum = __shfl_sync(0xffff0000U, sum, 20);
  }
  __syncwarp();
  out[lane] = sum;
}

__global__ void vote_all_ways(unsigned* out) {
  const unsigned lane = threadIdx.x;
  if (lane >= 20) return;  // lanes that have left do not vote
  const unsigned ballot = __ballot_sync(0xffffffffU, lane % 2);
  const int any = __any_sync(0xffffffffU, lane == 19);
  const int all = __all_sync(0xffffffffU, lane < 20);
  if (lane == 0) {
    out[0] = ballot;
    out[1] = static_cast<unsigned>(any);
    out[2] = static_cast<unsigned>(all);
  }
}

__global__ void read_lane_that_takes_no_part(unsigned* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffU, threadIdx.x, 16);
}

__global__ void shuffle_without_own_lane(int* out) {
  *out = __shfl_sync(0x2U, 1, 1);
}

__global__ void reduce_types(float* f, double* d, int* i) {
  const float sum = device::warp_sum(static_cast<float>(threadIdx.x));
  const double most = device::warp_max(static_cast<double>(threadIdx.x) * 0.5);
  const int total = device::warp_sum(1);
  if (threadIdx.x == 31) {
    *f = sum;
    *d = most;
    *i = total;
  }
}

namespace {

using WarpTest = EmulatorTest;

TEST_F(WarpTest, shuffles_follow_ptx) {
  auto* out = on_device<int>(128);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, shuffle_all_ways, out);
  const auto values = from_device(out, 128);
  for (int lane = 0; lane < 32; ++lane) {
    const auto at = [&](int kind) { return values[static_cast<std::size_t>(32 * kind + lane)]; };
    EXPECT_EQ(at(0), lane ^ 5);
    EXPECT_EQ(at(1), lane < 3 ? lane : lane - 3);
    EXPECT_EQ(at(2), lane % 8 + 3 < 8 ? lane + 3 : lane);
    EXPECT_EQ(at(3), lane / 4 * 4 + 1);
  }
}

TEST_F(WarpTest, diverged_lanes_meet_by_their_masks) {
  auto* out = on_device<long long>(32);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, shuffle_in_halves, out);
  const auto values = from_device(out, 32);
  for (std::size_t lane = 0; lane < 32; ++lane) EXPECT_EQ(values[lane], lane < 16 ? 120 : 20);
}

TEST_F(WarpTest, votes_are_of_the_lanes_that_have_not_left) {
  auto* out = on_device<unsigned>(3);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, vote_all_ways, out);
  EXPECT_EQ(from_device(out, 3), (std::vector<unsigned>{0xaaaaaU, 1, 1}));
}

TEST_F(WarpTest, a_lane_that_takes_no_part_has_nothing_to_read) {
  auto* out = on_device<unsigned>(16);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, read_lane_that_takes_no_part, out);
  EXPECT_EQ(from_device(out, 16), std::vector<unsigned>(16, 0xffffffffU));
}

TEST_F(WarpTest, a_mask_without_the_calling_lane_fails) {
  auto* out = on_device<int>(1);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, shuffle_without_own_lane, out);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_NE(emulator::last_failure().find("lacks its own lane"), std::string::npos);
}

TEST_F(WarpTest, reductions_of_all_types) {
  auto* f = on_device<float>(1);
  auto* d = on_device<double>(1);
  auto* i = on_device<int>(1);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, reduce_types, f, d, i);
  EXPECT_EQ(from_device(f, 1)[0], 496.0F);
  EXPECT_EQ(from_device(d, 1)[0], 15.5);
  EXPECT_EQ(from_device(i, 1)[0], 32);
}

TEST_F(WarpTest, bfloat16_rounds_to_nearest_even) {
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(1.0F)), 0x3f80);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(1.00390625F)), 0x3f80);    // tie: to even
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(1.01171875F)), 0x3f82);    // tie: to even
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(1.0039063692F)), 0x3f81);  // just above
  EXPECT_EQ(__bfloat162float(__ushort_as_bfloat16(0xc000)), -2.0F);
}

}  // namespace
}  // namespace lockstep::test
