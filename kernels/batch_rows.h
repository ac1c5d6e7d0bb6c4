// Which rows of a resident data set make up a batch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "lockstep/dataset.h"
#include "lockstep/error.h"
#include "lockstep/sampler.h"

namespace lockstep {

// A data set in device memory: features [N, columns] without padding, labels [N] or null.
struct ResidentData {
  const void* features = nullptr;           // aligned to 16 bytes
  FeatureType type = FeatureType::float32;  // or uint8
  std::int64_t columns = 0;
  const std::int32_t* labels = nullptr;
  // [N], each row's index in the data set that it was taken from; null: its own number.
  const std::int64_t* samples = nullptr;
};

// Throws Error (runtime) for features of a type that kernels do not read.
inline void check_features(const ResidentData& data) {
  if (data.type == FeatureType::float32 || data.type == FeatureType::uint8) return;
  throw Error(ErrorKind::runtime, "features on a device are float32 or uint8, not bfloat16");
}

// x * scale + offset, one fused multiply-add: per feature where the pointers (device, [columns])
// are given, else by the two numbers. The numbers' defaults are the identity: -0 is what may be
// added to any float, +0 would change -0.
struct FeatureScale {
  const float* scale = nullptr;
  const float* offset = nullptr;
  float common_scale = 1.0F;
  float common_offset = -0.0F;
};

// Row i of the batch is the sample at position first + i, and in training first + i after the
// beginning of the global batch that the step state names.
struct BatchRows {
  std::int64_t rows = 0;
  std::int64_t first = 0;
  std::int64_t global_batch = 0;  // in training
  bool shuffled = false;
  PermutationDomain domain;
};

// Rank `rank`'s share of global batch k, and of that part `part` of `parts`: the same for every k
// but that of a shorter last batch, which therefore has a graph of its own.
inline BatchRows training_rows(const Sampler& sampler, std::int64_t k, std::int64_t global_batch,
                               int rank = 0, int world_size = 1, int part = 0, int parts = 1) {
  const IndexRange batch = sampler.batch(k, global_batch);
  const IndexRange share = share_of(share_of(batch, rank, world_size), part, parts);
  return {.rows = share.size(),
          .first = share.begin - batch.begin,
          .global_batch = global_batch,
          .shuffled = sampler.shuffled(),
          .domain = sampler.domain()};
}

// Rows [range.begin, range.end) in the data set's own order, whatever the step: evaluation, or a
// block of a data set that streams through.
inline BatchRows consecutive_rows(IndexRange range) {
  BatchRows batch;
  batch.rows = range.size();
  batch.first = range.begin;
  return batch;
}

}  // namespace lockstep
