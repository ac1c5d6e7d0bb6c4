// What resolve() refuses. Each function throws Error{usage} naming the option, its value and the
// remedy (Error{device} for a device that this build cannot drive).
#pragma once

#include <cstdint>

#include "lockstep/config.h"

namespace lockstep {

// Every option by itself.
void check_ranges(const Config& config);

// Options that exclude or need each other under `strategy`.
void check_combinations(const Config& config, Strategy strategy, int ranks);

void check_workers_against_samples(const Config& config, int ranks, int64_t train_samples);

}  // namespace lockstep
