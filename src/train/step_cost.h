// What a GPU's training step costs before anything is trained, for --dry-run.
#pragma once

#include <optional>

#include "lockstep/trainer.h"

namespace lockstep {

// Makes the run's step on its GPU, data and all, counts, and drops it. Null on CPUs.
std::optional<StepCost> step_cost(const Resolved& resolved, const Dataset& dataset,
                                  const Model& model);

// The least time of such a step, in seconds; a term that the GPU's figures do not give is 0.
struct StepFloor {
  double latency = 0.0;     // of the stages, each waiting for the one before
  double memory = 0.0;      // the bytes, at the memory's nominal bandwidth
  double arithmetic = 0.0;  // the FLOP, at the float32 units' nominal peak
};
StepFloor step_floor(const StepCost& cost, const Gpu& gpu);

}  // namespace lockstep
