// The end of a loss kernel.
#pragma once

#include "kernels/last_block.h"
#include "kernels/loss_sums.h"
#include "kernels/reduce.h"
#include "kernels/step_device.h"

namespace lockstep::device {

// Bytes of shared memory that finish_loss uses.
inline constexpr std::size_t kLossSharedBytes = kWarpSize * (sizeof(double) + sizeof(unsigned));

// Writes the block's sums of each thread's share of the loss and of the right answers. All threads
// call it; thread 0, in warp 0, is the one that writes. The block is whole warps, the grid
// LossScratch::kMaxBlocks at most. The shared memory is that at byte 0.
__device__ __forceinline__ void store_block_loss(double loss, unsigned correct,
                                                 LossScratch& scratch) {
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
  loss = warp_sum(lane < warps ? losses[lane] : 0.0);
  correct = warp_sum(lane < warps ? corrects[lane] : 0U);
  if (lane != 0) return;
  scratch.loss[blockIdx.x] = loss;
  scratch.correct[blockIdx.x] = correct;
}

// By one warp, once every block's sums are written.
__device__ __forceinline__ void add_up_losses(std::int64_t count, const LossSums& sums) {
  const unsigned lane = threadIdx.x % kWarpSize;
  double loss = 0.0;
  unsigned correct = 0;
  for (unsigned block = lane; block < gridDim.x; block += kWarpSize) {
    loss += sums.scratch->loss[block];
    correct += sums.scratch->correct[block];
  }
  loss = warp_sum(loss);
  correct = warp_sum(correct);
  if (lane != 0) return;
  add_metrics(*sums.metrics, loss, correct, count);
  if (sums.state) note_loss(*sums.state, loss);
}

// Adds each thread's share to `sums` once every block has come here; as store_block_loss.
__device__ __forceinline__ void finish_loss(double loss, unsigned correct, std::int64_t count,
                                            const LossSums& sums) {
  store_block_loss(loss, correct, *sums.scratch);
  if (threadIdx.x >= kWarpSize) return;
  bool last = false;
  if (threadIdx.x == 0) last = take_last_ticket(&sums.scratch->ticket);
  __syncwarp();
  if (__shfl_sync(kWholeWarp, static_cast<int>(last), 0)) add_up_losses(count, sums);
}

}  // namespace lockstep::device
