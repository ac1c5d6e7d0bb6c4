// The step of binary logistic regression: one pass over the data set's rows.
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

// Is `model` one linear layer with one output and binary cross-entropy?
bool is_logistic(const Model& model);

// REQUIRES: is_logistic(model).
std::unique_ptr<Step> make_logistic_step(const Model& model, const ParameterLayout& layout,
                                         const Normalization& normalization,
                                         const StepMemory& memory, const StepOptions& options);

size_t logistic_step_workspace_bytes(const Model& model);

}  // namespace lockstep
