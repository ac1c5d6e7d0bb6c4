// A weight gradient cut into slabs of whole output units, so that communication can start while
// later slabs are still computed.
#pragma once

#include <cstddef>
#include <vector>

#include "backend/panel_gemm.h"
#include "lockstep/parameters.h"

namespace lockstep {

struct Slab {
  UnitRange units;
  Range range;  // what is final once the slab is computed; may be empty
};

// Slabs of about `slab_floats` floats, where that is several tiles of `tile_units` units a multiple
// of them, last units first. Units are the stored rows: inputs, where the weight is transposed.
// Rows of the weight need not be whole 128-byte blocks: a block that two slabs share is final with
// the second. Together the ranges cover the tensor and its padding, descending.
std::vector<Slab> slabs_of(const TensorSpec& weight, size_t slab_floats, int64_t tile_units);

}  // namespace lockstep
