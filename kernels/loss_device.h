// The end of a loss kernel.
#pragma once

#include "kernels/last_block.h"
#include "kernels/loss_sums.h"
#include "kernels/reduce.h"
#include "kernels/step_device.h"

namespace lockstep::device {

// Bytes of shared memory that finish_loss uses.
inline constexpr std::size_t kLossSharedBytes = kWarpSize * (sizeof(double) + sizeof(unsigned));

// Each thread's share of the loss and of the right answers, added to `sums` once every block has
// come here. All threads call it; the block is whole warps, the grid LossScratch::kMaxBlocks at
// most. The shared memory is that at byte 0.
__device__ __forceinline__ void finish_loss(double loss, unsigned correct, std::int64_t count,
                                            const LossSums& sums) {
  auto* losses = shared<double>(0, kWarpSize);
  auto* corrects = shared<unsigned>(kWarpSize * sizeof(double), kWarpSize);
  const unsigned lane = threadIdx.x % kWarpSize;
  const unsigned warps = blockDim.x / kWarpSize;
  loss = warp_sum(loss);
  correct = warp_sum(correct);
  if (lane == 0) {
    losses[threadIdx.x / kWarpSize] = loss;
    corrects[threadIdx.x / kWarpSize] = correct;
  }
  __syncthreads();
  if (threadIdx.x >= kWarpSize) return;

  LossScratch& scratch = *sums.scratch;
  loss = warp_sum(lane < warps ? losses[lane] : 0.0);
  correct = warp_sum(lane < warps ? corrects[lane] : 0U);
  bool last = false;
  if (lane == 0) {
    scratch.loss[blockIdx.x] = loss;
    scratch.correct[blockIdx.x] = correct;
    last = take_last_ticket(&scratch.ticket);
  }
  __syncwarp();
  if (!__shfl_sync(kWholeWarp, static_cast<int>(last), 0)) return;

  loss = 0.0;
  correct = 0;
  for (unsigned block = lane; block < gridDim.x; block += kWarpSize) {
    loss += scratch.loss[block];
    correct += scratch.correct[block];
  }
  loss = warp_sum(loss);
  correct = warp_sum(correct);
  if (lane != 0) return;
  add_metrics(*sums.metrics, loss, correct, count);
  if (sums.state) note_loss(*sums.state, loss);
}

}  // namespace lockstep::device
