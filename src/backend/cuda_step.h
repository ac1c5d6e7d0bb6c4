// A training step on one GPU: captured once for each batch size as a CUDA graph, then replayed.
//
// What changes from step to step is in device memory (kernels/step_state.h), the data set too; the
// host queues at most kStepsAhead steps and reads their metrics out of pinned memory.
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

// On the current device, which must be the current one in every later call. Throws Error (usage)
// for a model that it cannot run, Error (device) where CUDA refuses.
std::unique_ptr<Step> make_cuda_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options);

// Bytes of device memory without those of the data set.
size_t cuda_step_bytes(const Model& model, const ParameterLayout& layout,
                       const StepOptions& options);

}  // namespace lockstep
