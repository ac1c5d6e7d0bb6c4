// The float32 step of a convolutional network, on panels (backend/panel.h) and own kernels.
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

std::unique_ptr<Step> make_conv_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options);

size_t conv_step_workspace_bytes(const Model& model, const ParameterLayout& layout,
                                 const StepOptions& options);

}  // namespace lockstep
