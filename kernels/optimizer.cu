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
  const UpdateScalars s = scalars[state->batch];
  const auto load = [i](const float* from) { return *reinterpret_cast<const float4*>(from + i); };
  const auto store = [i](float4 value, float* to) { *reinterpret_cast<float4*>(to + i) = value; };

  const float4 gradient = load(parameters.gradients);
  float4 weight = load(parameters.values);
  float4 state0{}, state1{};
  if constexpr (states_of(rule) > 0) state0 = load(parameters.state0);
  if constexpr (states_of(rule) > 1) state1 = load(parameters.state1);
  apply_rule<rule>(s, gradient.x, weight.x, state0.x, state1.x);
  apply_rule<rule>(s, gradient.y, weight.y, state0.y, state1.y);
  apply_rule<rule>(s, gradient.z, weight.z, state0.z, state1.z);
  apply_rule<rule>(s, gradient.w, weight.w, state0.w, state1.w);
  if constexpr (states_of(rule) > 0) store(state0, parameters.state0);
  if constexpr (states_of(rule) > 1) store(state1, parameters.state1);
  store(weight, parameters.values);
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
