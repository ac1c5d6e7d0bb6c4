// Floor: one kernel's latency each, the update's traffic as in optimizer.cu.
#include "kernels/launch.h"
#include "kernels/shared_step.h"
#include "kernels/step_device.h"
#include "kernels/update_device.h"

namespace lockstep {

using namespace device;

constexpr unsigned kReducedThreads = 256;
constexpr int kTailSamples = 0, kTailBadLosses = 1, kTailVotes = 2;

__device__ void note_votes(const float* tail, const StepState& state, StepReport* report) {
  if (!report || tail[kTailVotes] == 0.0F || report->stop_step != 0) return;
  store_release(&report->stop_step, static_cast<unsigned>(state.step + 1));
}

__global__ void write_tail_kernel(float* tail, std::int64_t rows, const StepState* state,
                                  const StepReport* report) {
  const unsigned i = threadIdx.x;
  float value = 0.0F;
  if (i == kTailSamples) value = static_cast<float>(rows);
  if (i == kTailBadLosses && diverged(*state)) value = 1.0F;
  if (i == kTailVotes && report && load_acquire(&report->stop_vote) != 0) value = 1.0F;
  tail[i] = value;
}

template <UpdateRule rule>
__global__ void __launch_bounds__(kReducedThreads)
    update_reduced_kernel(ParameterPointers parameters, Range range, StepPointers step,
                          ReducedBucket bucket) {
  if (blockIdx.x == 0 && threadIdx.x == 0 && step.report) {
    store_release(&step.report->buckets, bucket.number + 1);
  }
  const std::size_t i = range.begin + 4 * (std::size_t{blockIdx.x} * kReducedThreads + threadIdx.x);
  if (i >= range.end || bucket.tail[kTailBadLosses] > 0.0F || diverged(*step.state)) return;
  update_four<rule>(parameters, step.scalars[step.state->batch], i,
                    *reinterpret_cast<const float4*>(parameters.gradients + i));
}

__global__ void advance_shared_step_kernel(StepState* state, StepReport* report, const float* tail,
                                           std::int64_t global_batch) {
  if (tail[kTailBadLosses] > 0.0F && !diverged(*state)) state->first_bad_step = state->step;
  if (report) {
    const float samples = tail[kTailSamples];
    if (global_batch < kExactCount && samples != static_cast<float>(global_batch)) {
      report->wrong_samples = samples;
      report->wrong_step = state->step;
    }
    note_votes(tail, *state, report);
    store_release(&report->buckets, 0U);
  }
  device::advance(*state, report);
}

__global__ void report_votes_kernel(const StepState* state, StepReport* report, const float* tail) {
  note_votes(tail, *state, report);
}

void write_tail(float* tail, std::int64_t rows, const StepPointers& step, cudaStream_t stream) {
  launch({.grid = 1, .block = static_cast<unsigned>(kTailFloats), .stream = stream},
         write_tail_kernel, tail, rows, step.state, step.report);
}

void report_votes(const StepPointers& step, const float* tail, cudaStream_t stream) {
  launch({.grid = 1, .block = 1, .stream = stream}, report_votes_kernel, step.state, step.report,
         tail);
}

void update_reduced(UpdateRule rule, Range range, const ParameterPointers& parameters,
                    const StepPointers& step, const ReducedBucket& bucket, cudaStream_t stream) {
  if (range.empty()) return;
  const std::size_t threads = range.size() / 4;
  const auto blocks = static_cast<unsigned>((threads + kReducedThreads - 1) / kReducedThreads);
  const auto run = [&](void (*kernel)(ParameterPointers, Range, StepPointers, ReducedBucket)) {
    launch({.grid = blocks, .block = kReducedThreads, .stream = stream}, kernel, parameters, range,
           step, bucket);
  };
  switch (rule) {
    case UpdateRule::sgd: return run(update_reduced_kernel<UpdateRule::sgd>);
    case UpdateRule::momentum: return run(update_reduced_kernel<UpdateRule::momentum>);
    case UpdateRule::nesterov: return run(update_reduced_kernel<UpdateRule::nesterov>);
    case UpdateRule::adam: return run(update_reduced_kernel<UpdateRule::adam>);
  }
}

void advance_shared_step(const StepPointers& step, const float* tail, std::int64_t global_batch,
                         cudaStream_t stream) {
  launch({.grid = 1, .block = 1, .stream = stream}, advance_shared_step_kernel, step.state,
         step.report, tail, global_batch);
}

}  // namespace lockstep
