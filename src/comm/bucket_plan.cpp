#include "comm/bucket_plan.h"

#include <algorithm>
#include <cmath>

namespace lockstep {

std::vector<Range> plan_buckets(const ParameterLayout& layout, double bucket_bytes) {
  std::vector<Range> plan;
  if (bucket_bytes == 0.0) {
    for (const TensorSpec& tensor : layout.tensors()) plan.insert(plan.begin(), tensor.range());
    return plan;
  }
  size_t floats = layout.size();
  if (std::isfinite(bucket_bytes) && bucket_bytes < 4.0 * static_cast<double>(layout.size())) {
    const auto wanted = static_cast<size_t>(bucket_bytes) / sizeof(float);
    floats = std::max(wanted / kPadFloats * kPadFloats, kPadFloats);
  }
  for (size_t end = layout.size(); end > 0;) {
    const size_t begin = end > floats ? end - floats : 0;
    plan.push_back({begin, end});
    end = begin;
  }
  return plan;
}

}  // namespace lockstep
