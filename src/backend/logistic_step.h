// The step of binary logistic regression: one pass over the data set's rows. With several threads
// each passes over a share of them, and their sums are added in the order of the threads: the same
// bits run after run for the same number of threads, and others for another.
//
// It computes in float32 whatever the precision: bf16 is one of the features' types.
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

size_t logistic_step_workspace_bytes(const Model& model, const StepOptions& options);

}  // namespace lockstep
