// The execution modes, each the loop of its paper. Every worker of the team calls the same one.
#pragma once

#include "train/worker.h"

namespace lockstep {

// Mini-batch SGD on one worker: the readable baseline, the reference for every speedup.
void train_serial(Run& run, int rank);

// Synchronous data-parallel SGD: every worker computes the gradient of its share of each global
// batch, gradients are summed, every worker steps alike (Chen et al. 2016, "Revisiting distributed
// synchronous SGD", without backup workers).
void train_sync(Run& run, int rank);

// The same where workers exchange factors instead of gradients (lockstep::FactorStep).
void train_on_factors(Run& run, int rank);

// Both on several GPUs.
void train_sync_on_gpus(Run& run, int rank);
void train_local_sgd_on_gpus(Run& run, int rank);

// Lock-free shared weights (Niu, Recht, Re, Wright 2011, "HOGWILD!").
void train_hogwild(Run& run, int rank);

// Each worker steps on its own replica; every H global batches replicas are averaged (Stich 2019,
// "Local SGD converges fast and communicates little").
void train_local_sgd(Run& run, int rank);

}  // namespace lockstep
