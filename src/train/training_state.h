// From a run to a checkpoint, and back.
#pragma once

#include <string>
#include <vector>

#include "lockstep/checkpoint.h"
#include "train/run.h"

namespace lockstep {

// Each process's first worker, between two meetings: brings the result of all workers into
// run.values and run.state.
void collect_values(Run& run);

// Model and training state at `position`, from run.values and run.state.
Checkpoint make_checkpoint(const Run& run, const TrainingPosition& position);

// Writes `out/checkpoints/step-XXXXXXXXXX.safetensors`.
void save_training_state(const Run& run, const TrainingPosition& position);

// The newest training state in a result folder, or `path` itself where it is a file.
// Throws Error{data} where there is none.
std::string find_training_state(const std::string& path);

// Starts `run` from `checkpoint`: values, optimizer state, position, history. Throws Error{usage}
// where its model, optimizer or global batch are not this run's.
void resume_run(Run& run, const Checkpoint& checkpoint);

}  // namespace lockstep
