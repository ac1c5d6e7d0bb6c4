// What a training step on a GPU reads, writes and computes, counted from shapes.
#pragma once

#include "lockstep/backend.h"

namespace lockstep {

// Where a step's gradients are on their way to the update.
enum class GradientPlace { memory, registers };

// The bytes and FLOP of a step over `rows` rows of features of a type; kernels and stages are 0.
// Every kernel reads its operands and writes its results once, in memory; partial sums of split
// products are not counted.
StepCost cuda_step_cost(const Model& model, const ParameterLayout& layout,
                        const StepOptions& options, int64_t rows, FeatureType features,
                        GradientPlace gradients);

}  // namespace lockstep
