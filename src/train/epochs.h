// The walk over epochs of a step that is given whole epochs (EpochStep), alone or with others.
#pragma once

#include "train/worker.h"

namespace lockstep {

// Every epoch that is left, on a step that is prepared.
void train_epochs(Worker& worker, EpochStep& step);

// Warns where the training data do not fit in the GPU's memory.
void say_where_data_are(const Run& run, const EpochStep& step);

}  // namespace lockstep
