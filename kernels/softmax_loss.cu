// Shapes: logits [B, classes], labels [B], gradient [B, classes].
// Algorithm: a group of 1, 2, 4 ... 32 lanes of a warp takes a row; lane l holds logits l, l +
// group,
// ... in registers while they are few, else reads them again for each of the three passes (largest,
// sum of powers, gradient). Sums by blocks; the last block adds them up.
// Floor: 8 B classes bytes of traffic, B classes exponentials (twice with a gradient); two stages,
// the second a warp's.
#include <bit>

#include "kernels/launch.h"
#include "kernels/loss_device.h"
#include "kernels/softmax_device.h"
#include "kernels/softmax_loss.h"

namespace lockstep {

using namespace device;

constexpr unsigned kSoftmaxThreads = 256;

template <int Kept>
__global__ void __launch_bounds__(kSoftmaxThreads)
    softmax_loss_kernel(LossRows rows, LossSums sums, unsigned group) {
  const std::int64_t rows_of_block = kSoftmaxThreads / group;
  const std::int64_t rows_of_grid = rows_of_block * gridDim.x;
  const bool first_lane = threadIdx.x % group == 0;
  double loss = 0.0;
  unsigned correct = 0;
  for (std::int64_t first = rows_of_block * blockIdx.x; first < rows.rows; first += rows_of_grid) {
    const std::int64_t i = first + threadIdx.x / group;
    const bool present = i < rows.rows;
    const RowLoss row = softmax_row<Kept>(rows, i, present, group);
    if (!present || !first_lane) continue;
    loss += row.loss;
    correct += row.correct ? 1 : 0;
  }
  finish_loss(loss, correct, rows.rows, sums);
}

void softmax_loss(const LossRows& rows, const LossSums& sums, cudaStream_t stream) {
  if (rows.rows == 0) return;
  const auto classes = static_cast<unsigned>(rows.classes);
  const unsigned group = classes < kWarpSize ? std::bit_ceil(classes) : kWarpSize;
  const std::int64_t blocks = (rows.rows * group + kSoftmaxThreads - 1) / kSoftmaxThreads;
  const auto grid = static_cast<unsigned>(
      blocks < LossScratch::kMaxBlocks ? blocks : std::int64_t{LossScratch::kMaxBlocks});
  const auto kernel = classes <= kWarpSize       ? softmax_loss_kernel<1>
                      : classes <= 8 * kWarpSize ? softmax_loss_kernel<8>
                                                 : softmax_loss_kernel<0>;
  launch(
      {.grid = grid, .block = kSoftmaxThreads, .stream = stream, .shared_bytes = kLossSharedBytes},
      kernel, rows, sums, group);
}

}  // namespace lockstep
