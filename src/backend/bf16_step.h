// The bf16 step of a network of linear layers: products of bf16 operands on oneDNN, everything else
// (master weights, sums, loss, gradients, optimizer) in float32, as in mixed-precision training
// (Micikevicius et al. 2018; bf16 needs no loss scaling).
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

// Throws Error{device} where the CPU has no bf16 instructions.
std::unique_ptr<Step> make_bf16_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options);

// Without the products' compiled code.
size_t bf16_step_workspace_bytes(const Model& model, const StepOptions& options);

}  // namespace lockstep
