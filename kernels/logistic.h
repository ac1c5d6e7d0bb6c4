// Logistic regression in one pass over the data set's own rows: no gather, each row read once.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/batch_rows.h"
#include "kernels/loss_sums.h"
#include "kernels/optimizer.h"
#include "kernels/step_state.h"

namespace lockstep {

// Wider rows are a linear layer and a loss of their own.
inline constexpr std::int64_t kLogisticColumns = 4096;

// `weight` and `bias` are offsets in the flat buffers, as ParameterLayout gives them.
struct LogisticModel {
  ResidentData data;  // 1 to kLogisticColumns columns
  FeatureScale scale;
  const float* values = nullptr;
  std::size_t weight = 0;
  std::size_t bias = 0;
};

// Device memory of a stream: sums of blocks, logistic_scratch_floats(columns) of them, and losses.
struct LogisticScratch {
  float* gradients = nullptr;
  LossScratch* loss = nullptr;
};
std::size_t logistic_scratch_floats(std::int64_t columns);

// Writes the sums over the batch of (sigmoid(logit) - label) x and (sigmoid(logit) - label) to the
// flat buffer `gradients`, zeros for an empty batch, and adds loss and right answers to the state's
// metrics. Two kernels.
void logistic_gradient(const LogisticModel& model, const BatchRows& batch, StepState* state,
                       float* gradients, const LogisticScratch& scratch, cudaStream_t stream);

// A whole step: the gradient's sums, never in memory, the update of `parameters` (whose gradients
// are not used), and the state's advance. Bitwise logistic_gradient, update and advance_step. One
// kernel for at most kLogisticNarrow columns, else two.
inline constexpr std::int64_t kLogisticNarrow = 128;
void logistic_train(const LogisticModel& model, const BatchRows& batch, UpdateRule rule,
                    const ParameterPointers& parameters, const StepPointers& step,
                    const LogisticScratch& scratch, cudaStream_t stream);

// The loss alone, added to sums.metrics: nothing but the count where there are no labels. `logits`
// [rows], where not null, receives the logits. sums.state is null; batch is of consecutive rows.
void logistic_evaluate(const LogisticModel& model, const BatchRows& batch, float* logits,
                       const LossSums& sums, cudaStream_t stream);

}  // namespace lockstep
