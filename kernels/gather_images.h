// A batch's images out of a resident data set, moved as augmentation says, in the order that a
// network's first layer reads.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/batch_rows.h"
#include "kernels/device_image.h"
#include "kernels/step_state.h"
#include "lockstep/augment.h"

namespace lockstep {

struct ImageGatherOutputs {
  DeviceImages<float> images = {};  // [batch rows], of `shape`; nothing else is written
  ImageShape shape;
  std::int32_t* labels = nullptr;  // as GatherOutputs
  std::int64_t* samples = nullptr;
};

// images[i] = move(features[sample(i)] * scale + offset), bitwise what the CPU gathers; a pixel
// beyond the edge is the data's zero. `augmentation`: null moves nothing, and so does a `state` of
// null, outside training. REQUIRES: data.columns == shape.size(). Nothing is launched for an empty
// batch.
void gather_images(const ResidentData& data, const FeatureScale& scale, const BatchRows& batch,
                   const Augmentation* augmentation, const StepState* state,
                   const ImageGatherOutputs& to, cudaStream_t stream);

}  // namespace lockstep
