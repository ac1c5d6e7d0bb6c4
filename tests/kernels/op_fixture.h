// What the tests of kernels share: a stream, a data set on the device, a step state.
#pragma once

#include <cstring>
#include <vector>

#include "backend/fixtures.h"
#include "device/device.h"
#include "kernels/batch_rows.h"
#include "kernels/step_state.h"

namespace lockstep::testing {

// Equal bits: tells -0 from 0, and finds NaN equal to itself.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class KernelTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped()) stream_ = new_stream();
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
