// Which units dropout keeps: a pure function of (seed, layer, epoch, sample, unit), see
// lockstep/rng.h. Inverted dropout: kept units are multiplied by 1 / (1 - p).
#pragma once

#include <cstdint>

#include "backend/matrix.h"
#include "lockstep/backend.h"
#include "lockstep/rng.h"

namespace lockstep {

struct DropoutKey {
  RandomStream stream;      // purpose dropout, the dropout layer's index in Model::layers
  uint32_t threshold = 0;   // a unit is kept when its word is at or above this
  float keep_scale = 1.0f;  // 1 / (1 - p)
};

DropoutKey dropout_key(uint64_t seed, int layer, uint32_t epoch, double p);

// values[i, u] = kept(batch.sample(i), u) ? values[i, u] * keep_scale : 0, in place. Forward and
// backward are the same map. REQUIRES: values.rows == batch.size().
void apply_dropout(const DropoutKey& key, const Batch& batch, Matrix values);

}  // namespace lockstep
