// What a run's configuration says of each worker's step.
#pragma once

#include "lockstep/trainer.h"

namespace lockstep {

// All of StepOptions that the run decides; the worker adds what is its own: threads' start, how
// they wait, slabs.
StepOptions step_options(const Resolved& resolved);

}  // namespace lockstep
