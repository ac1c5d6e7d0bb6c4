// Data sets in a GPU's memory.
#pragma once

#include <map>

#include "backend/cuda_memory.h"
#include "kernels/batch_rows.h"
#include "lockstep/dataset.h"

namespace lockstep {

// Splits that were copied to the device; each stays until the end. Splits are told apart by their
// features' address and must outlive this.
class CudaData {
 public:
  explicit CudaData(const Normalization& normalization, cudaStream_t stream);

  const ResidentData& resident(const Split& split);
  const FeatureScale& scale() const { return scale_; }

 private:
  struct Copy {
    DeviceArray<unsigned char> features;
    DeviceArray<int32_t> labels;
    ResidentData data;
  };

  cudaStream_t stream_;
  DeviceArray<float> scales_, offsets_;
  FeatureScale scale_;
  std::map<const void*, Copy> copies_;
};

}  // namespace lockstep
