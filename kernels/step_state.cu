// Floor: one kernel's latency each.
#include "kernels/launch.h"
#include "kernels/step_device.h"
#include "kernels/step_state.h"

namespace lockstep {

__global__ void start_epoch_kernel(StepState* state, EpochStart start) {
  state->epoch = start.epoch;
  state->keys = start.keys;
  state->batch = start.batch;
  state->step = start.step;
  state->metrics = {};
}

__global__ void advance_step_kernel(StepState* state, StepReport* report) {
  device::advance(*state, report);
}

void start_epoch(StepState* state, const EpochStart& start, cudaStream_t stream) {
  launch({.grid = 1, .block = 1, .stream = stream}, start_epoch_kernel, state, start);
}

void advance_step(const StepPointers& step, cudaStream_t stream) {
  launch({.grid = 1, .block = 1, .stream = stream}, advance_step_kernel, step.state, step.report);
}

}  // namespace lockstep
