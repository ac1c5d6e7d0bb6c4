// What an array of floats holds, in a few numbers: for the report of a run that has diverged.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "lockstep/backend.h"

namespace lockstep {

// Of `values` [n] in memory of the current device, as the work in `stream` before has left them;
// returns when it is known. Throws Error (device). Not while `stream` is captured.
ValueSummary summarize(const float* values, std::size_t n, cudaStream_t stream);

}  // namespace lockstep
