// A training's trace in the Trace Event Format of Chrome's and Perfetto's viewers.
#pragma once

#include <string>

#include "lockstep/trace.h"

namespace lockstep {

// A JSON object: `traceEvents`, complete events ("X") in microseconds since the first of them, and
// metadata ("M") that names a process for each rank and in it a thread for each worker and stream.
// An event's `cat` is its phase's name in the result document, its `args` say step, bucket, bytes
// and range of parameters as far as it has them. `otherData` says which run, which steps and how
// the clocks of several machines were brought together. `name`: the run's.
std::string trace_json(const Trace& trace, const std::string& name);

}  // namespace lockstep
