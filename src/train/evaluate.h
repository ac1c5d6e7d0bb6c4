// Evaluation by all ranks of a job.
#pragma once

#include "lockstep/process_group.h"
#include "lockstep/trainer.h"

namespace lockstep {

// evaluate() of a part, its blocks dealt to the ranks in turn. Collective; the same on all of them,
// and the same whatever their number.
Evaluation evaluate_together(const Model& model, const Normalization& normalization,
                             const Split& split, std::span<const float> values,
                             const EvaluateOptions& options, ProcessGroup& processes);

}  // namespace lockstep
