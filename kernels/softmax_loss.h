// Softmax cross-entropy.
#pragma once

#include <cuda_runtime.h>

#include "kernels/loss_sums.h"

namespace lockstep {

// Of each row: loss = log sum exp(logits) - logits[label], shifted by the largest logit, and
// gradient = softmax(logits) - onehot(label). Adds loss and right answers to `sums`; ties of the
// largest logit go to the lowest class. A logit that is not a number makes the loss one and counts
// as wrong. REQUIRES: labels in [0, classes). Nothing is launched for no rows.
void softmax_loss(const LossRows& rows, const LossSums& sums, cudaStream_t stream);

}  // namespace lockstep
