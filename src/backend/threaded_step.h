// The float32 step of a network of linear layers on several threads of one worker.
//
// Each thread has a panel step of its own and takes a share of the batch's samples through the
// layers; then all exchange factors (FactorStep), and each computes and updates its slice of the
// units from everybody's. Every sum is the chain that one thread would compute.
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

// REQUIRES: options.threads > 1.
std::unique_ptr<Step> make_threaded_step(const Model& model, const ParameterLayout& layout,
                                         const Normalization& normalization,
                                         const StepMemory& memory, const StepOptions& options);

size_t threaded_step_workspace_bytes(const Model& model, const ParameterLayout& layout,
                                     const StepOptions& options);

}  // namespace lockstep
