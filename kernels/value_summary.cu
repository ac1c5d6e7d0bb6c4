// Shapes: values [n] float32.
// Algorithm: Thrust's reduction of a sum of integers and a maximum, which no order changes.
// Floor: 4 n bytes of traffic; outside of training steps.
#include <thrust/transform_reduce.h>

#include <cfloat>

#include "kernels/thrust_stream.h"
#include "kernels/value_summary.h"
#include "lockstep/host_device.h"

namespace lockstep {
namespace {

struct SummaryOfOne {
  LOCKSTEP_HD ValueSummary operator()(float value) const {
    const float magnitude = value < 0 ? -value : value;
    const bool finite = magnitude <= FLT_MAX;  // false for NaN
    return finite ? ValueSummary{0, magnitude} : ValueSummary{1, 0.0F};
  }
};

struct SummaryOfBoth {
  LOCKSTEP_HD ValueSummary operator()(const ValueSummary& a, const ValueSummary& b) const {
    return {a.not_finite + b.not_finite, a.largest > b.largest ? a.largest : b.largest};
  }
};

}  // namespace

ValueSummary summarize(const float* values, std::size_t n, cudaStream_t stream) {
  return run_thrust("a summary of values", stream, [=](const auto& policy) {
    return thrust::transform_reduce(policy, values, values + n, SummaryOfOne(), ValueSummary(),
                                    SummaryOfBoth());
  });
}

}  // namespace lockstep
