// How backward's weight gradients are cut so that each bucket of gradients can leave as soon as it
// is complete. Pure functions of shapes: the same on every worker.
//
// Weight gradients are computed in descending parameter order. A layer whose weight crosses the
// beginning of a bucket is computed in slabs of whole output units, the last units first, each as
// large as the bucket needs. A slab computes the biases of its units too, so that the bias of such
// a layer, although it lies above the weight, is complete with the last slab only: it leaves with
// the bucket in which its layer begins.
#pragma once

#include <cstdint>
#include <vector>

#include "lockstep/parameters.h"

namespace lockstep {

struct UnitSlab {
  int layer = 0;  // index into Model::layers
  int64_t first_unit = 0;
  int64_t units = 0;
  bool operator==(const UnitSlab&) const = default;
};

// A bucket and the slabs that complete it, after those of the segments before.
struct GradientSegment {
  std::vector<UnitSlab> slabs;
  std::vector<Range> ranges;  // the bucket's, descending
};

enum class Slabs { allowed, whole_layers };

// `buckets` descend and cover layout.all(). Slabs begin at multiples of `tile` units, which cost as
// much as a part of them does. Together the segments hold every unit and every range once.
std::vector<GradientSegment> plan_segments(const ParameterLayout& layout,
                                           const std::vector<Range>& buckets, Slabs slabs,
                                           int64_t tile);

}  // namespace lockstep
