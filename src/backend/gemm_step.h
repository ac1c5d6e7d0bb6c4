// The step of a multi-layer network on row-major matrices and a GEMM library.
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

std::unique_ptr<Step> make_gemm_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options);

size_t gemm_step_workspace_bytes(const Model& model, const StepOptions& options);

}  // namespace lockstep
