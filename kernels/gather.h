// A batch's rows out of a resident data set, as float32.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/batch_rows.h"
#include "kernels/step_state.h"

namespace lockstep {

struct GatherOutputs {
  float* rows = nullptr;    // [batch rows, columns]
  std::int64_t stride = 0;  // floats between rows; columns beyond the features are left alone
  std::int32_t* labels = nullptr;   // [batch rows]; null: not wanted, or there are none
  std::int64_t* samples = nullptr;  // [batch rows], indices in the data set; null: not wanted
};

// rows[i, j] = features[sample(i), j] * scale + offset, bitwise what the CPU gathers. `state` says
// which batch of which epoch; null for consecutive rows. Nothing is launched for an empty batch.
void gather(const ResidentData& data, const FeatureScale& scale, const BatchRows& batch,
            const StepState* state, const GatherOutputs& to, cudaStream_t stream);

}  // namespace lockstep
