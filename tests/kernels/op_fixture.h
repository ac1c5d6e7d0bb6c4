// What the tests of kernels share: device memory that the emulator's reset frees, a data set on the
// device, a step state.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "backend/fixtures.h"
#include "emulator/control.h"
#include "kernels/batch_rows.h"
#include "kernels/check.h"
#include "kernels/step_state.h"

namespace lockstep::testing {

template <class T>
T* device_array(std::size_t count) {
  T* pointer = nullptr;
  check(cudaMalloc(&pointer, count * sizeof(T)), "cudaMalloc");
  return pointer;
}

template <class T>
T* to_device(const std::vector<T>& values) {
  T* pointer = device_array<T>(values.size());
  check(cudaMemcpy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
        "cudaMemcpy");
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  return pointer;
}

// The device's values, once all its work has ended.
template <class T>
std::vector<T> from_device(const T* pointer, std::size_t count) {
  std::vector<T> values(count);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check(cudaMemcpy(values.data(), pointer, count * sizeof(T), cudaMemcpyDeviceToHost),
        "cudaMemcpy");
  return values;
}

// Equal bits: tells -0 from 0, and finds NaN equal to itself.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class KernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    emulator::reset();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  void TearDown() override {
    emulator::set_seed(1);
    emulator::reset();
  }

  cudaStream_t stream_ = nullptr;
};

inline ResidentData resident(const Samples& samples) {
  const FeatureMatrix& features = samples.split.features;
  ResidentData data;
  data.type = features.type;
  data.columns = features.columns;
  if (features.type == FeatureType::uint8) {
    data.features = to_device(samples.bytes);
  } else {
    data.features = to_device(samples.floats);
  }
  if (!samples.split.labels.empty()) data.labels = to_device(samples.split.labels);
  return data;
}

inline FeatureScale device_scale(const Normalization& normalization) {
  FeatureScale scale;
  if (normalization.scale.size() == 1) {
    scale.common_scale = normalization.scale[0];
    scale.common_offset = normalization.offset[0];
  } else if (!normalization.identity()) {
    scale.scale = to_device(normalization.scale);
    scale.offset = to_device(normalization.offset);
  }
  return scale;
}

// A state at batch `batch` of `epoch`.
inline StepState* step_state(std::uint64_t seed = 1, std::uint32_t epoch = 0,
                             std::int64_t batch = 0) {
  StepState state;
  state.epoch = epoch;
  state.keys = permutation_keys(seed, epoch);
  state.batch = batch;
  return to_device(std::vector<StepState>{state});
}

// `batch` as the CPU's ops take it: the samples that the sampler gives.
inline std::vector<std::int64_t> sampled(const Sampler& sampler, std::uint32_t epoch,
                                         std::int64_t k, const BatchRows& batch) {
  std::vector<std::int64_t> samples(batch.rows);
  sampler.fill(epoch, k * batch.global_batch + batch.first, samples);
  return samples;
}

}  // namespace lockstep::testing
