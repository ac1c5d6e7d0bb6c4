// Binary cross-entropy of logits.
#pragma once

#include <cuda_runtime.h>

#include "kernels/loss_sums.h"

namespace lockstep {

// Of each row, whose one logit is x and label y in {0, 1}: loss = max(x, 0) - x y + log1p(e^-|x|),
// gradient = sigmoid(x) - y. Adds loss and right answers to `sums`; a logit of 0 predicts class 0,
// one that is not a number counts as wrong. REQUIRES: classes == 1. Nothing is launched for no
// rows.
void binary_cross_entropy_loss(const LossRows& rows, const LossSums& sums, cudaStream_t stream);

}  // namespace lockstep
