// Softmax cross-entropy of a row, forward and backward.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/loss_sums.h"
#include "kernels/reduce.h"

namespace lockstep::device {

// Sums or maxima over the lanes of a group; every lane gets the result.
template <class T, class Operation>
__device__ __forceinline__ T group_reduce(T value, unsigned group, Operation operation) {
  for (unsigned distance = group / 2; distance > 0; distance /= 2) {
    value = operation(value, __shfl_xor_sync(kWholeWarp, value, static_cast<int>(distance)));
  }
  return value;
}

// The largest logit, and of equal ones the lowest class.
__device__ __forceinline__ void group_largest(unsigned group, float& logit, int& index) {
  for (unsigned distance = group / 2; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, logit, static_cast<int>(distance));
    const int other_index = __shfl_xor_sync(kWholeWarp, index, static_cast<int>(distance));
    if (other > logit || (other == logit && other_index < index)) {
      logit = other;
      index = other_index;
    }
  }
}

struct RowLoss {
  float loss;
  bool correct;
};

// One row by one group, of whose lanes each has `Kept` logits in registers (0: none). Every lane
// of the warp comes here, those without a row too: they touch none.
template <int Kept>
__device__ __forceinline__ RowLoss softmax_row(const LossRows& rows, std::int64_t i, bool present,
                                               unsigned group) {
  const int lane = static_cast<int>(threadIdx.x % group);
  const int step = static_cast<int>(group);
  const int classes = present ? rows.classes : 0;
  const float* from = rows.logits + i * rows.logits_stride;
  const int turns = Kept > 0 ? Kept : (classes + step - 1) / step;
  float kept[Kept > 0 ? Kept : 1];
  if constexpr (Kept > 0) {
    for (int k = 0; k < Kept; ++k) {
      const int j = lane + k * step;
      kept[k] = j < classes ? from[j] : -INFINITY;
    }
  }
  const auto logit = [&](int k) {
    if constexpr (Kept > 0) return kept[k];
    return from[lane + k * step];
  };
  const auto each = [&](const auto& body) {
    for (int k = 0; k < turns; ++k) {
      const int j = lane + k * step;
      if (j < classes) body(j, logit(k));
    }
  };

  const int label = present ? rows.labels[i] : 0;
  float largest = -INFINITY;
  float chosen = 0.0F;  // in the lane that has it
  int predicted = classes;
  each([&](int j, float x) {
    if (x > largest) {
      largest = x;
      predicted = j;
    }
    if (j == label) chosen = x;
  });
  group_largest(group, largest, predicted);
  chosen = __shfl_sync(kWholeWarp, chosen, label % step, step);

  float sum = 0.0F;
  each([&](int, float x) { sum += expf(x - largest); });
  sum = group_reduce(sum, group, Add{});
  if (rows.gradient && present) {
    float* to = rows.gradient + i * rows.gradient_stride;
    const float inverse = 1.0F / sum;
    each([&](int j, float x) {
      const float probability = expf(x - largest) * inverse;
      to[j] = j == label ? probability - 1.0F : probability;
    });
  }
  const float loss = logf(sum) + (largest - chosen);
  return {loss, predicted == label && loss == loss};
}

}  // namespace lockstep::device
