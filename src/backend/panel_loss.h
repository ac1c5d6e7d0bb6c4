// Losses over panels of logits: value, accuracy and gradient in one pass, samples side by side.
//
// Sums of losses are float64, sample by sample in order. Ties of the largest logit go to the lowest
// class, so a binary logit of 0 predicts class 0. A logit that is not a number makes the loss one
// and counts as wrong. Without labels the metrics are the count alone.
#pragma once

#include "backend/panel.h"
#include "lockstep/backend.h"
#include "lockstep/model.h"

namespace lockstep {

// Loss of logits [samples of `batch`] in panels.
BatchMetrics panel_loss(Loss loss, const Batch& batch, ConstPanels logits);

// The same, and the logits become the loss's gradient: softmax(logits) - onehot(label), or
// sigmoid(logit) - label. Lanes without a sample become zero.
BatchMetrics panel_loss_backward(Loss loss, const Batch& batch, Panels logits);

}  // namespace lockstep
