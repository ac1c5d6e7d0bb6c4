// Tensor core operations against plain loops, and ldmatrix against its definition.
#include <cuda_bf16.h>

#include <random>

#include "fixture.h"
#include "kernels/device.h"

namespace lockstep::test {

template <int Count>
__global__ void load_tiles(const std::uint16_t* from, std::uint32_t* out, bool transposed) {
  auto* tiles = device::shared<std::uint16_t>(0, 4 * 64);
  for (unsigned i = threadIdx.x; i < 4 * 64; i += 32) tiles[i] = from[i];
  __syncwarp();
  std::uint32_t r[Count];
  if (transposed) {
    device::load_matrices_transposed(r, tiles + threadIdx.x * 8);
  } else {
    device::load_matrices(r, tiles + threadIdx.x * 8);
  }
  for (int m = 0; m < Count; ++m) out[m * 32 + static_cast<int>(threadIdx.x)] = r[m];
}

__global__ void round_to_tf32(const float* from, std::uint32_t* to) {
  to[threadIdx.x] = device::to_tf32(from[threadIdx.x]);
}

__global__ void multiply_with_half_a_warp(float* out) {
  if (threadIdx.x >= 16) return;
  const std::uint32_t a[4] = {};
  const std::uint32_t b[2] = {};
  const float c[4] = {};
  float d[4];
  device::mma_tf32(d, a, b, c);
  *out = d[0];
}

namespace {

using TensorCoreTest = EmulatorTest;

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

float as_tf32(float value) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000U) & 0xffffe000U);
}

// C[16][8] = A[16][depth] B[depth][8], in float64.
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int depth) {
  std::vector<float> c;
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double sum = 0;
      for (int k = 0; k < depth; ++k) {
        sum += static_cast<double>(a[static_cast<std::size_t>(row * depth + k)]) *
               b[static_cast<std::size_t>(k * 8 + column)];
      }
      c.push_back(static_cast<float>(sum));
    }
  }
  return c;
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 2e-6) << i;
}

TEST_F(TensorCoreTest, tf32_product_is_that_of_rounded_operands) {
  auto a = random_values(16 * 8, 1);
  auto b = random_values(8 * 8, 2);
  auto* d = on_device<float>(16 * 8);
  launch({.grid = 1, .block = 32, .stream = new_stream()}, multiply_tf32, on_device(a),
         on_device(b), d);
  for (float& value : a) value = as_tf32(value);
  for (float& value : b) value = as_tf32(value);
  expect_near(from_device(d, 16 * 8), product(a, b, 8));
}

TEST_F(TensorCoreTest, bf16_product_by_way_of_ldmatrix) {
  auto a = random_values(16 * 16, 3);
  auto b = random_values(16 * 8, 4);
  const auto rounded = [](std::vector<float>& values) {
    std::vector<std::uint16_t> bits;
    for (float& value : values) {
      bits.push_back(__bfloat16_as_ushort(__float2bfloat16(value)));
      value = __float2bfloat16(value);
    }
    return bits;
  };
  const auto bits_a = rounded(a);
  const auto bits_b = rounded(b);
  auto* d = on_device<float>(16 * 8);
  launch({.grid = 1, .block = 32, .stream = new_stream(), .shared_bytes = (256 + 128) * 2},
         multiply_bf16, on_device(bits_a), on_device(bits_b), d);
  expect_near(from_device(d, 16 * 8), product(a, b, 16));
}

TEST_F(TensorCoreTest, to_tf32_rounds_to_nearest_with_ties_away_from_zero) {
  const std::vector<std::uint32_t> bits = {0x3f800fff, 0x3f801000, 0x3f801001, 0xbf801000,
                                           0x3f802fff, 0x7f800000, 0x00000000, 0x3fffffff};
  std::vector<float> values;
  for (const std::uint32_t b : bits) values.push_back(std::bit_cast<float>(b));
  auto* out = on_device<std::uint32_t>(8);
  launch({.grid = 1, .block = 8, .stream = new_stream()}, round_to_tf32, on_device(values), out);
  EXPECT_EQ(from_device(out, 8),
            (std::vector<std::uint32_t>{0x3f800000, 0x3f802000, 0x3f802000, 0xbf802000, 0x3f802000,
                                        0x7f800000, 0x00000000, 0x40000000}));
}

template <int Count>
void check_load(bool transposed) {
  std::vector<std::uint16_t> tiles(4 * 64);
  for (std::size_t i = 0; i < tiles.size(); ++i) tiles[i] = static_cast<std::uint16_t>(i * 7 + 1);
  auto* out = on_device<std::uint32_t>(Count * 32);
  launch({.grid = 1, .block = 32, .stream = new_stream(), .shared_bytes = 512}, load_tiles<Count>,
         on_device(tiles), out, transposed);
  const auto registers = from_device(out, Count * 32);
  for (unsigned m = 0; m < Count; ++m) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned half = 0; half < 2; ++half) {
        const unsigned g = lane / 4;
        const unsigned moving = lane % 4 * 2 + half;
        const unsigned row = transposed ? moving : g;
        const unsigned column = transposed ? g : moving;
        ASSERT_EQ(registers[m * 32 + lane] >> (16 * half) & 0xffffU,
                  tiles[m * 64 + row * 8 + column]);
      }
    }
  }
}

TEST_F(TensorCoreTest, ldmatrix_distributes_rows_and_columns) {
  for (const bool transposed : {false, true}) {
    check_load<1>(transposed);
    check_load<2>(transposed);
    check_load<4>(transposed);
  }
}

TEST_F(TensorCoreTest, needs_a_whole_warp) {
  launch({.grid = 1, .block = 32, .stream = new_stream()}, multiply_with_half_a_warp,
         on_device<float>(1));
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_NE(emulator::last_failure().find("needs all 32 lanes"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::test
