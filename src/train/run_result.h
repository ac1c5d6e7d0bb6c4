// From a finished run to the figures that are reported.
#pragma once

#include <span>

#include "lockstep/result.h"
#include "train/run.h"

namespace lockstep {

// `values` are those that the run ends with; they are evaluated on both parts unless `interrupted`.
RunResult make_result(Run& run, std::span<const float> values, bool interrupted);

}  // namespace lockstep
