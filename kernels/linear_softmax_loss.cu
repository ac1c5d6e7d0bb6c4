// Shapes: x [batch, inputs], w [outputs, inputs], outputs <= 32, logits and gradient [batch,
// outputs].
//
// Algorithm: gemm_kernel.h with small tiles, a block for 32 rows; its logits plus bias go to
// memory, and after a barrier a group of lanes takes a row of them (softmax_device.h). The last
// block adds up the blocks' losses. Floor, batch 256, 128-10: 0.2 MB in and out, all in L2; 0.7
// MFLOP; 256 x 10 exponentials, twice. One dependent stage instead of two.
#include <bit>

#include "kernels/gemm.h"
#include "kernels/linear_softmax_loss.h"
#include "kernels/loss_device.h"
#include "kernels/softmax_device.h"

namespace lockstep {
namespace device {

struct LogitsEpilogue {
  static constexpr bool kRowSums = false;
  const float* bias;
  float* y;
  std::int64_t stride;
  bool aligned;

  __device__ void operator()(int row, int unit, float (&values)[4], int count) const {
    for (int i = 0; i < count; ++i) values[i] += bias[unit + i];
    store_four(y + row * stride + unit, values, count, aligned);
  }
};

template <class Arithmetic>
__global__ void __launch_bounds__(kGemmThreads, Arithmetic::kBlocks)
    linear_softmax_loss_kernel(Operand x, Operand weight, LogitsEpilogue epilogue, LossRows rows,
                               LossSums sums, unsigned group) {
  constexpr int kRows = Arithmetic::Shape::kRows;
  const int tile = static_cast<int>(blockIdx.x);
  GemmBlock<Arithmetic, LogitsEpilogue> block(x, weight, {tile, 0, 0}, x.depth);
  block.multiply();
  block.finish(epilogue);
  __syncthreads();  // the block's logits are written

  double loss = 0.0;
  unsigned correct = 0;
  for (unsigned first = 0; first < kRows; first += kGemmThreads / group) {
    const std::int64_t row = first + threadIdx.x / group;
    const std::int64_t i = tile * std::int64_t{kRows} + row;
    const bool present = row < kRows && i < rows.rows;
    const RowLoss one = softmax_row<1>(rows, i, present, group);
    if (!present || threadIdx.x % group != 0) continue;
    loss += one.loss;
    correct += one.correct ? 1 : 0;
  }
  finish_loss(loss, correct, rows.rows, sums);
}

}  // namespace device

bool linear_softmax_loss_fits(int batch, int inputs, int outputs) {
  if (outputs > static_cast<int>(device::kWarpSize)) return false;
  const GemmPlan plan = plan_on_device(batch, outputs, inputs);
  const int blocks = (batch + GemmPlan::kSmall - 1) / GemmPlan::kSmall;
  return !plan.large && plan.splits == 1 && blocks <= static_cast<int>(LossScratch::kMaxBlocks);
}

void linear_softmax_loss(const LinearForward& layer, const LossRows& rows, const LossSums& sums,
                         Precision precision, cudaStream_t stream) {
  require_precision(precision);
  const device::LogitsEpilogue epilogue{layer.bias, layer.y.data, layer.y.stride,
                                        aligned_rows(layer.y.data, layer.y.stride)};
  const auto blocks =
      static_cast<unsigned>((layer.batch + GemmPlan::kSmall - 1) / GemmPlan::kSmall);
  const unsigned group = std::bit_ceil(static_cast<unsigned>(layer.outputs));
  with_small_tiles<Major::depth, Major::depth>(precision, [&]<class Arithmetic>() {
    using Block = device::GemmBlock<Arithmetic, device::LogitsEpilogue>;
    launch({.grid = blocks,
            .block = device::kGemmThreads,
            .stream = stream,
            .shared_bytes = Block::kSharedBytes},
           device::linear_softmax_loss_kernel<Arithmetic>,
           make_operand(layer.x.data, layer.x.stride, layer.batch, layer.inputs),
           make_operand(layer.weight, layer.inputs, layer.outputs, layer.inputs), epilogue, rows,
           sums, group);
  });
}

}  // namespace lockstep
