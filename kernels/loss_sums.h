// Where losses add up: the batch's loss and right answers, by blocks and then in the last block,
// in an order that depends on the grid alone.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/step_state.h"

namespace lockstep {

// Device memory of a stream, zero at first; every use leaves the ticket zero.
struct LossScratch {
  static constexpr unsigned kMaxBlocks = 320;
  double loss[kMaxBlocks];
  unsigned correct[kMaxBlocks];
  unsigned ticket;
};

struct LossSums {
  LossScratch* scratch = nullptr;
  BatchMetrics* metrics = nullptr;  // device memory: the batch's sums are added to it
  StepState* state = nullptr;       // in training: notes a loss that is not finite; else null
};

// Training's: the epoch's metrics are part of the state.
inline LossSums training_sums(StepState* state, LossScratch* scratch) {
  return {.scratch = scratch, .metrics = &state->metrics, .state = state};
}

// Logits [rows, classes] of consecutive rows `logits_stride` floats apart, and their gradient,
// which may be the same memory with the same stride.
struct LossRows {
  const float* logits = nullptr;
  std::int64_t logits_stride = 0;
  const std::int32_t* labels = nullptr;  // [rows]
  float* gradient = nullptr;             // null: the metrics alone
  std::int64_t gradient_stride = 0;
  std::int64_t rows = 0;
  int classes = 0;
};

}  // namespace lockstep
