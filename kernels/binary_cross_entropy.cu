// Shapes: logits [B, 1], labels [B], gradient [B, 1].
// Algorithm: a thread a row; sums by blocks, which the last block adds up.
// Floor: 12 B bytes of traffic where rows are adjacent; two stages, the second a warp's.
#include "kernels/binary_cross_entropy.h"
#include "kernels/launch.h"
#include "kernels/loss_device.h"
#include "lockstep/math.h"

namespace lockstep {

using namespace device;

constexpr unsigned kBinaryThreads = 128;

__global__ void __launch_bounds__(kBinaryThreads)
    binary_cross_entropy_kernel(LossRows rows, LossSums sums) {
  double loss = 0.0;
  unsigned correct = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kBinaryThreads + threadIdx.x; i < rows.rows;
       i += std::int64_t{gridDim.x} * kBinaryThreads) {
    const float logit = rows.logits[i * rows.logits_stride];
    const auto label = static_cast<float>(rows.labels[i]);
    loss += binary_cross_entropy(logit, label);
    correct += logit == logit && (logit > 0.0F) == (label > 0.0F) ? 1 : 0;
    if (rows.gradient) rows.gradient[i * rows.gradient_stride] = sigmoid(logit) - label;
  }
  finish_loss(loss, correct, rows.rows, sums);
}

void binary_cross_entropy_loss(const LossRows& rows, const LossSums& sums, cudaStream_t stream) {
  if (rows.rows == 0) return;
  const std::int64_t blocks = (rows.rows + kBinaryThreads - 1) / kBinaryThreads;
  const auto grid = static_cast<unsigned>(
      blocks < LossScratch::kMaxBlocks ? blocks : std::int64_t{LossScratch::kMaxBlocks});
  launch(
      {.grid = grid, .block = kBinaryThreads, .stream = stream, .shared_bytes = kLossSharedBytes},
      binary_cross_entropy_kernel, rows, sums);
}

}  // namespace lockstep
