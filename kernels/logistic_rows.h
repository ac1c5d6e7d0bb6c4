// The rows' part of logistic regression's pass: dot product, loss, and the block's gradient sums.
//
// A group of 1, 2, 4 ... 256 lanes takes a row; lane l has Elements of its columns in registers:
// vectors l, l + group, ... of Width columns. Several rows are under way at once where they are
// short, so that enough loads are.
#pragma once

#include "kernels/logistic.h"
#include "kernels/loss_device.h"
#include "kernels/row_device.h"
#include "lockstep/math.h"

namespace lockstep::device {

inline constexpr unsigned kLogisticThreads = 256;
inline constexpr unsigned kLogisticWarps = kLogisticThreads / kWarpSize;

// Bytes of the block's shared memory; losses are at its beginning.
inline constexpr std::size_t kFoldedAt = kLossSharedBytes;
inline constexpr std::size_t kBiasSumsAt = kFoldedAt + kLogisticWarps * sizeof(double);
inline constexpr std::size_t kDotsAt = kBiasSumsAt + kLogisticWarps * sizeof(float);
inline constexpr std::size_t kColumnsAt =
    1024;  // the weights, and later the warps' sums of columns
static_assert(kDotsAt + 2 * kLogisticWarps * sizeof(float) <= kColumnsAt);

// Groups that sum the same columns in warps of their own.
inline __host__ __device__ unsigned logistic_slots(unsigned group) {
  return kLogisticThreads / (group > kWarpSize ? group : kWarpSize);
}

struct LogisticLosses {
  double loss = 0.0;
  unsigned correct = 0;
};

template <class T, int Width, int Elements>
class LogisticRows {
 public:
  static constexpr int kRows = Elements <= 4 ? 4 : 1;  // at once, of a group

  // Brings the weights to shared memory. Scales of bytes are folded into them, as the product of
  // a weight and a scaled byte is x (w scale) + w offset. A barrier stands at the end.
  __device__ LogisticRows(const LogisticModel& model, unsigned group)
      : model_(model),
        group_(group),
        lane_(threadIdx.x % group),
        weights_(shared<float>(kColumnsAt, group * Elements)) {
    double folded = 0.0;
    for (unsigned j = threadIdx.x; j < group * Elements; j += kLogisticThreads) {
      float weight = j < columns() ? model.values[model.weight + j] : 0.0F;
      if constexpr (kFolds) {
        if (j < columns()) {
          folded += static_cast<double>(weight) * offset_of(j);
          weight *= scale_of(j);
        }
      }
      weights_[j] = weight;
    }
    auto* sums = shared<double>(kFoldedAt, kLogisticWarps);
    if constexpr (kFolds) {
      folded = warp_sum(folded);
      if (threadIdx.x % kWarpSize == 0) sums[threadIdx.x / kWarpSize] = folded;
    }
    __syncthreads();
    folded = model.values[model.bias];
    if constexpr (kFolds) {
      for (unsigned warp = 0; warp < kLogisticWarps; ++warp) folded += sums[warp];
    }
    bias_ = static_cast<float>(folded);
  }

  // The block's rows of the batch. Lane 0 of a group returns its losses.
  template <bool Gradient>
  __device__ LogisticLosses pass(const BatchRows& batch, const StepState* state, float* logits) {
    const std::int64_t groups = kLogisticThreads / group_;
    const std::int64_t rows_of_block = groups * kRows;
    const std::int64_t rows_of_grid = rows_of_block * gridDim.x;
    LogisticLosses losses;
    for (std::int64_t first = rows_of_block * blockIdx.x; first < batch.rows;
         first += rows_of_grid) {
      float x[kRows][Elements];
      float dots[kRows];
      std::int32_t labels[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const std::int64_t i = first + r * groups + threadIdx.x / group_;
        labels[r] = load_row(batch, state, i, x[r]);
        dots[r] = 0.0F;
      }
#pragma unroll
      for (int k = 0; k < kVectors; ++k) {
        float w[Width];
        load_features(weights_ + (k * group_ + lane_) * Width, w);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int q = 0; q < Width; ++q) dots[r] = fmaf(x[r][k * Width + q], w[q], dots[r]);
        }
      }
      add_over_group(dots);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const std::int64_t i = first + r * groups + threadIdx.x / group_;
        if (i >= batch.rows) continue;
        const float logit = dots[r] + bias_;
        if (logits && lane_ == 0) logits[i] = logit;
        if (labels[r] < 0) continue;
        const auto label = static_cast<float>(labels[r]);
        float loss, error;
        binary_cross_entropy_gradient(logit, label, loss, error);
        if (lane_ == 0) {
          losses.loss += loss;
          losses.correct += logit == logit && (logit > 0.0F) == (label > 0.0F) ? 1 : 0;
          bias_sum_ += error;
        }
        if constexpr (Gradient) {
#pragma unroll
          for (int e = 0; e < Elements; ++e) sums_[e] = fmaf(error, x[r][e], sums_[e]);
        }
      }
    }
    return losses;
  }

  // Writes the block's sums over its rows to `to` [columns + 1], the bias's at the end. All threads
  // call it.
  __device__ void store_gradient(float* to) {
    const unsigned slot = threadIdx.x / (group_ > kWarpSize ? group_ : kWarpSize);
    for (unsigned distance = group_; distance < kWarpSize; distance *= 2) {
      bias_sum_ += __shfl_xor_sync(kWholeWarp, bias_sum_, static_cast<int>(distance));
#pragma unroll
      for (int e = 0; e < Elements; ++e) {
        sums_[e] += __shfl_xor_sync(kWholeWarp, sums_[e], static_cast<int>(distance));
      }
    }
    __syncthreads();  // the weights' place is free
    auto* sums = shared<float>(kColumnsAt, logistic_slots(group_) * group_ * Elements);
    auto* bias_sums = shared<float>(kBiasSumsAt, kLogisticWarps);
    const unsigned stride = group_ * Elements;
    const bool writes = threadIdx.x % kWarpSize < group_;  // else a copy of another lane's
#pragma unroll
    for (int k = 0; k < kVectors && writes; ++k) {
#pragma unroll
      for (int q = 0; q < Width; ++q) {
        sums[slot * stride + (k * group_ + lane_) * Width + q] = sums_[k * Width + q];
      }
    }
    if (lane_ == 0 && writes) bias_sums[slot] = bias_sum_;
    __syncthreads();
    const unsigned slots = logistic_slots(group_);
    float bias_sum = 0.0F;
    for (unsigned s = 0; s < slots; ++s) bias_sum += bias_sums[s];
    for (unsigned j = threadIdx.x; j < columns(); j += kLogisticThreads) {
      float sum = 0.0F;
      for (unsigned s = 0; s < slots; ++s) sum += sums[s * stride + j];
      if constexpr (kFolds) sum = fmaf(scale_of(j), sum, offset_of(j) * bias_sum);
      to[j] = sum;
    }
    if (threadIdx.x == 0) to[columns()] = bias_sum;
  }

 private:
  static constexpr int kVectors = Elements / Width;
  static constexpr bool kFolds = sizeof(T) == 1;

  __device__ unsigned columns() const {
    return static_cast<unsigned>(model_.data.columns);
  }
  __device__ float scale_of(unsigned j) const {
    return model_.scale.scale ? model_.scale.scale[j] : model_.scale.common_scale;
  }
  __device__ float offset_of(unsigned j) const {
    return model_.scale.scale ? model_.scale.offset[j] : model_.scale.common_offset;
  }

  // This lane's columns of row i, zeros beyond the batch's end and the row's. Returns the label, -1
  // where there is none.
  __device__ std::int32_t load_row(const BatchRows& batch, const StepState* state, std::int64_t i,
                                   float (&x)[Elements]) const {
    const bool present = i < batch.rows;
    const std::int64_t sample = present ? sample_of(batch, state, i) : 0;
    const T* row = static_cast<const T*>(model_.data.features) + sample * model_.data.columns;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const unsigned j = (k * group_ + lane_) * Width;
      float loaded[Width] = {};
      if (present && j < columns()) {
        load_features(row + j, loaded);
        if constexpr (!kFolds) {
#pragma unroll
          for (int q = 0; q < Width; ++q) loaded[q] = scaled(model_.scale, loaded[q], j + q);
        }
      }
#pragma unroll
      for (int q = 0; q < Width; ++q) x[k * Width + q] = loaded[q];
    }
    return present && model_.data.labels ? model_.data.labels[sample] : -1;
  }

  // Sums over the lanes of a group; every lane gets them.
  __device__ void add_over_group(float (&dots)[kRows]) {
    const unsigned in_warp = group_ < kWarpSize ? group_ : kWarpSize;
    for (unsigned distance = in_warp / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (float& dot : dots) dot += __shfl_xor_sync(kWholeWarp, dot, static_cast<int>(distance));
    }
    if constexpr (kRows == 1) {
      if (group_ <= kWarpSize) return;
      // Two turns' places, so that one barrier a turn is enough.
      auto* place = shared<float>(kDotsAt, 2 * kLogisticWarps) + turn_ * kLogisticWarps;
      turn_ ^= 1U;
      if (threadIdx.x % kWarpSize == 0) place[threadIdx.x / kWarpSize] = dots[0];
      __syncthreads();
      const unsigned warps = group_ / kWarpSize;
      const float* mine = place + threadIdx.x / group_ * warps;
      dots[0] = 0.0F;
      for (unsigned warp = 0; warp < warps; ++warp) dots[0] += mine[warp];
    }
  }

  const LogisticModel& model_;
  unsigned group_;
  unsigned lane_;
  unsigned turn_ = 0;
  float* weights_;
  float bias_ = 0.0F;
  float bias_sum_ = 0.0F;
  float sums_[Elements] = {};
};

}  // namespace lockstep::device
