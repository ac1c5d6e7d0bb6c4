// Shapes: values [B, d] float32, sums [d].
// Algorithm: a block takes 32 columns of 512 rows; each of its 16 warps adds every 16th row, a
// column a lane, and the first warp adds the warps' sums in order. Several blocks' sums of a column
// are rows again, and are summed by the same kernel: one stage to 512 rows, two to 262,144.
// Floor: 4 B d bytes of traffic; a stage is at most 32 additions, with eight loads under way, a
// barrier and 16 more.
#include <algorithm>
#include <utility>

#include "kernels/column_sums.h"
#include "kernels/device.h"
#include "kernels/launch.h"

namespace lockstep {

using namespace device;

constexpr unsigned kSumWarps = 16;
constexpr int kRowsAWarp = 32;
constexpr std::int64_t kRowsABlock = std::int64_t{kSumWarps} * kRowsAWarp;

__global__ void __launch_bounds__(kWarpSize* kSumWarps)
    column_sums_kernel(DeviceRows<const float> values, std::int64_t rows, std::int64_t columns,
                       float* sums) {
  auto* of_warps = shared<float>(0, kSumWarps * kWarpSize);
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarpSize + threadIdx.x;
  const std::int64_t first = std::int64_t{blockIdx.y} * kRowsABlock + threadIdx.y;
  float sum = 0;
  if (column < columns) {
#pragma unroll 8
    for (int k = 0; k < kRowsAWarp; ++k) {
      const std::int64_t row = first + std::int64_t{k} * kSumWarps;
      if (row < rows) sum += values.data[row * values.stride + column];
    }
  }
  of_warps[threadIdx.y * kWarpSize + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
#pragma unroll
  for (unsigned warp = 1; warp < kSumWarps; ++warp) sum += of_warps[warp * kWarpSize + threadIdx.x];
  sums[blockIdx.y * columns + column] = sum;
}

static std::int64_t blocks_of(std::int64_t rows) {
  return std::max<std::int64_t>(1, (rows + kRowsABlock - 1) / kRowsABlock);
}

std::size_t column_sums_workspace(std::int64_t rows, std::int64_t columns) {
  std::int64_t floats = 0;
  for (std::int64_t left = blocks_of(rows); left > 1; left = blocks_of(left)) {
    floats += left * columns;
  }
  return static_cast<std::size_t>(floats);
}

void column_sums(DeviceRows<const float> values, std::int64_t rows, std::int64_t columns,
                 float* sums, float* workspace, cudaStream_t stream) {
  while (true) {
    const std::int64_t blocks = blocks_of(rows);
    float* const to = blocks == 1 ? sums : std::exchange(workspace, workspace + blocks * columns);
    launch({.grid = dim3(static_cast<unsigned>((columns + kWarpSize - 1) / kWarpSize),
                         static_cast<unsigned>(blocks)),
            .block = dim3(kWarpSize, kSumWarps),
            .stream = stream,
            .shared_bytes = sizeof(float) * kSumWarps * kWarpSize},
           column_sums_kernel, values, rows, columns, to);
    if (blocks == 1) return;
    values = {to, columns};
    rows = blocks;
  }
}

}  // namespace lockstep
