// Logistic regression's loss and gradient in one pass over the data set's own rows, of any type: no
// gather, no copy. Bytes and bf16 become float32 in registers; all sums are float32. Blocks of rows
// that stay in the first-level cache are read twice, once for the logits and once to accumulate the
// gradient.
#pragma once

#include <cstdint>

#include "backend/gather.h"
#include "lockstep/backend.h"
#include "lockstep/buffer.h"

namespace lockstep {

class LogisticPass {
 public:
  // Allocates for `columns` features; `scaling` must outlive this.
  LogisticPass(const FeatureScaling& scaling, int64_t columns);

  // Adds nothing up: overwrites gradient [columns] and *bias_gradient with the sums over the batch
  // of (sigmoid(logit) - label) x and (sigmoid(logit) - label).
  BatchMetrics gradient(const Batch& batch, const float* weights, float bias, float* gradient,
                        float* bias_gradient);

  // The loss alone; `logits`, where not null, receives [batch.size()].
  BatchMetrics evaluate(const Batch& batch, const float* weights, float bias, float* logits);

  // One pass as the vector loops see it.
  struct Request {
    const Batch& batch;
    const float* weights;
    float bias;
    const float* scale;   // of float features; null for the identity and for other types, whose
    const float* offset;  // scaling is folded into the weights
    float* gradient;      // null: loss alone
    float* logits;        // null: not wanted
  };
  struct Sums {
    BatchMetrics metrics;
    float bias_gradient = 0.0f;
  };

 private:
  Sums run(Request request);

  const FeatureScaling& scaling_;
  int64_t columns_;
  Buffer<float> folded_;
};

}  // namespace lockstep
