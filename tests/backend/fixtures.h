// Small data sets and random numbers for the backend's tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "backend/bf16.h"
#include "lockstep/backend.h"

namespace lockstep::testing {

inline std::vector<float> normals(size_t size, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(size);
  for (float& value : values) value = normal(generator);
  return values;
}

// A labelled data set that owns its features.
struct Samples {
  std::vector<float> floats;
  std::vector<uint8_t> bytes;
  std::vector<Bf16> halves;
  Split split;

  Samples(FeatureType type, int64_t rows, int64_t columns, int classes, uint32_t seed = 1) {
    std::mt19937 generator(seed);
    split.features.type = type;
    split.features.rows = rows;
    split.features.columns = columns;
    if (type == FeatureType::float32) {
      floats = normals(rows * columns, seed);
      split.features.data = floats.data();
    } else if (type == FeatureType::bfloat16) {
      for (const float value : normals(rows * columns, seed)) halves.push_back(to_bf16(value));
      halves.resize(halves.size() + kBf16Slack, to_bf16(std::numeric_limits<float>::quiet_NaN()));
      split.features.data = halves.data();
    } else {
      bytes.resize(rows * columns);
      for (uint8_t& value : bytes) value = static_cast<uint8_t>(generator());
      split.features.data = bytes.data();
    }
    for (int64_t i = 0; i < rows; ++i) {
      split.labels.push_back(static_cast<int32_t>(generator() % classes));
    }
  }
  Samples(const Samples&) = delete;

  Batch range(int64_t begin, int64_t end, uint32_t epoch = 0) const {
    Batch batch;
    batch.data = &split;
    batch.contiguous = true;
    batch.contiguous_range = {begin, end};
    batch.epoch = epoch;
    return batch;
  }

  Batch pick(const std::vector<int64_t>& samples, uint32_t epoch = 0) const {
    Batch batch;
    batch.data = &split;
    batch.samples = samples;
    batch.epoch = epoch;
    return batch;
  }
};

// Every third row, backwards: neither sorted nor adjacent.
inline std::vector<int64_t> scattered(int64_t count, int64_t rows) {
  std::vector<int64_t> samples(count);
  for (int64_t i = 0; i < count; ++i) samples[i] = (rows - 1 - 3 * i % rows + rows) % rows;
  return samples;
}

inline Normalization per_feature(int64_t columns, float scale) {
  Normalization normalization;
  normalization.kind = Normalize::standard;
  for (int64_t j = 0; j < columns; ++j) {
    normalization.scale.push_back(scale * (1.0f + 0.01f * static_cast<float>(j % 7)));
    normalization.offset.push_back(-0.3f + 0.05f * static_cast<float>(j % 5));
  }
  return normalization;
}

inline Normalization unit_scaling() {
  Normalization normalization;
  normalization.kind = Normalize::unit;
  normalization.scale = {1.0f / 255.0f};
  normalization.offset = {0.0f};
  return normalization;
}

// 1, primes, and both sides of every vector width.
inline const std::vector<int64_t> kAwkward = {1,  2,  3,  4,  5,  7,  8,  9,
                                              13, 15, 16, 17, 31, 32, 33, 61};

}  // namespace lockstep::testing
