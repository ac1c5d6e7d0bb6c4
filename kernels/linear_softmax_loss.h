// A network's last layer and its loss in one kernel: logits, softmax cross-entropy and its
// gradient.
#pragma once

#include <cuda_runtime.h>

#include "kernels/linear_forward.h"
#include "kernels/loss_sums.h"

namespace lockstep {

// Whether one kernel does it on the current device: a row's logits lie in one tile, and the depth
// is not split.
bool linear_softmax_loss_fits(int batch, int inputs, int outputs);

// Queues on `stream`, of the current device, the bits of linear_forward() and softmax_loss(); the
// order in which the rows' losses are added is another. Throws Error (device) where CUDA refuses
// it, and where the device has no tensor cores for `precision`. REQUIRES: it fits, batch > 0; no
// activation, no dropout; rows.logits are layer.y, as many.
void linear_softmax_loss(const LinearForward& layer, const LossRows& rows, const LossSums& sums,
                         Precision precision, cudaStream_t stream);

}  // namespace lockstep
