#include "backend/gradient_segments.h"

#include <algorithm>

namespace lockstep {

namespace {

// A layer's slabs, the last units first.
struct LayerSlabs {
  std::vector<UnitSlab> slabs;
  Range weight, bias;
  int64_t columns = 0;

  // Where a slab's weights begin.
  size_t begin_of(const UnitSlab& slab) const {
    return weight.begin + static_cast<size_t>(slab.first_unit * columns);
  }
};

LayerSlabs cut_layer(const TensorSpec& weight, const TensorSpec& bias,
                     const std::vector<Range>& buckets, Slabs how, int64_t tile) {
  LayerSlabs layer{{}, weight.range(), bias.range(), weight.columns()};
  int64_t end = weight.rows();
  for (const Range& bucket : buckets) {
    if (how == Slabs::whole_layers) break;
    if (bucket.begin <= weight.offset || bucket.begin >= weight.offset + weight.size) continue;
    auto first = static_cast<int64_t>(bucket.begin - weight.offset) / weight.columns();
    first -= first % tile;
    if (first <= 0 || first >= end) continue;
    layer.slabs.push_back({weight.layer, first, end - first});
    end = first;
  }
  layer.slabs.push_back({weight.layer, 0, end});
  return layer;
}

// Takes `hole` out of the ranges.
void cut_out(std::vector<Range>& ranges, Range hole) {
  std::vector<Range> left;
  for (const Range& range : ranges) {
    const Range above{std::max(range.begin, hole.end), range.end};
    const Range below{range.begin, std::min(range.end, hole.begin)};
    if (!above.empty()) left.push_back(above);
    if (!below.empty()) left.push_back(below);
  }
  ranges = std::move(left);
}

// The biases of a layer in slabs go with the bucket in which the layer begins.
void move_bias(const LayerSlabs& layer, const std::vector<Range>& buckets,
               std::vector<GradientSegment>& segments) {
  if (layer.slabs.size() == 1) return;
  const auto holder = std::ranges::find_if(buckets, [&](const Range& bucket) {
    return bucket.begin <= layer.weight.begin && layer.weight.begin < bucket.end;
  });
  for (GradientSegment& segment : segments) cut_out(segment.ranges, layer.bias);
  std::vector<Range>& ranges = segments[static_cast<size_t>(holder - buckets.begin())].ranges;
  ranges.insert(ranges.begin(), layer.bias);
}

// A bias that moved may have been all that a bucket held: its slabs go to the next.
std::vector<GradientSegment> without_empty(std::vector<GradientSegment> segments) {
  std::vector<GradientSegment> kept;
  std::vector<UnitSlab> waiting;
  for (GradientSegment& segment : segments) {
    waiting.insert(waiting.end(), segment.slabs.begin(), segment.slabs.end());
    if (segment.ranges.empty()) continue;
    segment.slabs = std::move(waiting);
    waiting.clear();
    kept.push_back(std::move(segment));
  }
  return kept;
}

}  // namespace

std::vector<GradientSegment> plan_segments(const ParameterLayout& layout,
                                           const std::vector<Range>& buckets, Slabs how,
                                           int64_t tile) {
  std::vector<GradientSegment> segments(buckets.size());
  for (size_t b = 0; b < buckets.size(); ++b) segments[b].ranges = {buckets[b]};
  const std::vector<TensorSpec>& tensors = layout.tensors();
  size_t next = 0;  // the bucket that is to be completed
  for (size_t t = tensors.size(); t >= 2; t -= 2) {
    const LayerSlabs layer = cut_layer(tensors[t - 2], tensors[t - 1], buckets, how, tile);
    move_bias(layer, buckets, segments);
    for (const UnitSlab& slab : layer.slabs) {
      segments[std::min(next, segments.size() - 1)].slabs.push_back(slab);
      const size_t low = layer.begin_of(slab);
      while (next < buckets.size() && buckets[next].begin >= low) ++next;
    }
  }
  return without_empty(std::move(segments));
}

}  // namespace lockstep
