// Whether a run skips the zeros among its inputs.
#pragma once

#include "lockstep/config.h"
#include "lockstep/dataset.h"
#include "lockstep/model.h"
#include "lockstep/parameters.h"

namespace lockstep {

// What share of the multiplications with the inputs is left when those are skipped whose inputs
// are zero (after normalisation) in four neighbouring samples or features, as
// backend/sparse_product.h does; of up to 1024 training samples, spread evenly. In [0, 1].
double input_fill(const Dataset& dataset);

// Inputs first where zeros are skipped: as --sparse-input says, or where that is faster. Throws
// Error{usage} where it is asked for and the step has no such layer.
FirstWeight choose_first_weight(const Resolved& resolved, const Dataset& dataset,
                                const Model& model);

}  // namespace lockstep
