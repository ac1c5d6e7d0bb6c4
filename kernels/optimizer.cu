// Shapes: flat float32 arrays, a range of n floats, n a multiple of 4.
// Algorithm: a thread takes four parameters, in one load and one store an array.
// Floor: (3 + 2 states) n floats of traffic (SGD 12 n bytes, momentum 20 n, Adam 28 n); one stage.
#include "kernels/launch.h"
#include "kernels/optimizer.h"
#include "kernels/step_device.h"
#include "kernels/update_device.h"

namespace lockstep {

using namespace device;

constexpr unsigned kUpdateThreads = 256;

template <UpdateRule rule>
__global__ void __launch_bounds__(kUpdateThreads)
    update_kernel(ParameterPointers parameters, Range range, const StepState* state,
                  const UpdateScalars* scalars) {
  const std::size_t i = range.begin + 4 * (std::size_t{blockIdx.x} * kUpdateThreads + threadIdx.x);
  if (i >= range.end || diverged(*state)) return;
  update_four<rule>(parameters, scalars[state->batch], i,
                    *reinterpret_cast<const float4*>(parameters.gradients + i));
}

template <UpdateRule rule>
void launch_update(Range range, const ParameterPointers& parameters, const StepPointers& step,
                   cudaStream_t stream) {
  const std::size_t threads = range.size() / 4;
  const auto blocks = static_cast<unsigned>((threads + kUpdateThreads - 1) / kUpdateThreads);
  launch({.grid = blocks, .block = kUpdateThreads, .stream = stream}, update_kernel<rule>,
         parameters, range, step.state, step.scalars);
}

void update(UpdateRule rule, Range range, const ParameterPointers& parameters,
            const StepPointers& step, cudaStream_t stream) {
  if (range.empty()) return;
  switch (rule) {
    case UpdateRule::sgd: return launch_update<UpdateRule::sgd>(range, parameters, step, stream);
    case UpdateRule::momentum:
      return launch_update<UpdateRule::momentum>(range, parameters, step, stream);
    case UpdateRule::nesterov:
      return launch_update<UpdateRule::nesterov>(range, parameters, step, stream);
    case UpdateRule::adam: return launch_update<UpdateRule::adam>(range, parameters, step, stream);
  }
}

}  // namespace lockstep
