// Losses: value, accuracy and the gradient with respect to the logits in one pass.
//
// Sums of losses are float64, sample by sample in order. Ties of the largest logit go to the lowest
// class, so a binary logit of 0 predicts class 0. A logit that is not a number makes the loss one
// and counts as wrong.
#pragma once

#include "backend/matrix.h"
#include "lockstep/backend.h"

namespace lockstep {

// Softmax cross-entropy of logits [batch.size(), classes] with labels of batch.data; each row
// becomes softmax(row) - onehot(label). Where the data has no labels the metrics stay zero but for
// the count, and the logits untouched.
BatchMetrics softmax_cross_entropy_backward(const Batch& batch, Matrix logits);
// The loss alone; logits stay as they are.
BatchMetrics softmax_cross_entropy(const Batch& batch, ConstMatrix logits);

// Binary cross-entropy of logits [batch.size(), 1]; each becomes sigmoid(logit) - label.
BatchMetrics binary_cross_entropy_backward(const Batch& batch, Matrix logits);
BatchMetrics binary_cross_entropy_loss(const Batch& batch, ConstMatrix logits);

}  // namespace lockstep
