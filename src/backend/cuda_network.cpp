#include "backend/cuda_network.h"

#include <algorithm>

#include "backend/dropout.h"
#include "kernels/binary_cross_entropy.h"
#include "kernels/softmax_loss.h"
#include "lockstep/error.h"

namespace lockstep {

CudaNetwork::CudaNetwork(const Model& model, const ParameterLayout& layout, int64_t rows,
                         const StepOptions& options, LossScratch* scratch)
    : layout_(layout),
      plan_(plan_mlp(model)),
      precision_(options.precision),
      seed_(options.seed),
      capacity_(rows),
      labels_(rows),
      samples_(rows),
      scratch_(scratch) {
  if (plan_.input_dropout.present()) {
    throw Error(ErrorKind::usage, "dropout of a network's inputs is not in this version on GPUs",
                "train on the CPU: --device cpu");
  }
  const int batch = static_cast<int>(rows);
  size_t workspace = 0;
  input_ = rows_for(model.inputs);
  for (const LinearStage& stage : plan_.stages) {
    const int inputs = static_cast<int>(stage.inputs), outputs = static_cast<int>(stage.outputs);
    workspace = std::max({workspace, linear_forward_workspace(batch, inputs, outputs),
                          linear_backward_input_workspace(batch, inputs, outputs),
                          linear_backward_weight_workspace(batch, inputs, outputs)});
    gradients_.push_back(rows_for(stage.outputs));
    if (&stage != &plan_.stages.back()) outputs_.push_back(rows_for(stage.outputs));
  }
  workspace_ = DeviceArray<float>(workspace);
}

DeviceRows<float> CudaNetwork::rows_for(int64_t columns) {
  const int64_t stride = (columns + 3) / 4 * 4;
  memory_.emplace_back(capacity_ * stride);
  return {memory_.back().data(), stride};
}

DropoutMask CudaNetwork::mask(const LinearStage& stage, const StepState* state) const {
  if (!stage.dropout.present()) return {};
  const DropoutKey key = dropout_key(seed_, stage.dropout.layer, 0, stage.dropout.p);
  return {.stream = key.stream,
          .threshold = key.threshold,
          .keep_scale = key.keep_scale,
          .samples = samples_.data(),
          .epoch = &state->epoch};
}

void CudaNetwork::gather(const CudaBatch& batch, const StepState* state, cudaStream_t stream) {
  lockstep::gather(*batch.data, *batch.scale, batch.rows, state,
                   {.rows = input_.data,
                    .stride = input_.stride,
                    .labels = batch.data->labels ? labels_.data() : nullptr,
                    .samples = samples_.data()},
                   stream);
}

void CudaNetwork::forward(const CudaBatch& batch, const float* values, const StepState* state,
                          Mode mode, cudaStream_t stream) {
  DeviceRows<float> x = input_;
  for (size_t l = 0; l < plan_.stages.size(); ++l) {
    const LinearStage& stage = plan_.stages[l];
    const DeviceRows<float> y = l < outputs_.size() ? outputs_[l] : gradients_[l];
    linear_forward({.batch = static_cast<int>(batch.rows.rows),
                    .inputs = static_cast<int>(stage.inputs),
                    .outputs = static_cast<int>(stage.outputs),
                    .x = {x.data, x.stride},
                    .weight = values + layout_.weight(stage.layer).offset,
                    .bias = values + layout_.bias(stage.layer).offset,
                    .y = y,
                    .activation = stage.activation,
                    .dropout = mode == Mode::train ? mask(stage, state) : DropoutMask{},
                    .workspace = workspace_.data()},
                   precision_, stream);
    x = y;
  }
}

void CudaNetwork::loss(const CudaBatch& batch, const LossSums& sums, Mode mode,
                       cudaStream_t stream) {
  const DeviceRows<float> logits = gradients_.back();
  const LossRows rows{.logits = logits.data,
                      .logits_stride = logits.stride,
                      .labels = labels_.data(),
                      .gradient = mode == Mode::train ? logits.data : nullptr,
                      .gradient_stride = logits.stride,
                      .rows = batch.rows.rows,
                      .classes = static_cast<int>(outputs())};
  if (plan_.loss == Loss::binary_cross_entropy) {
    binary_cross_entropy_loss(rows, sums, stream);
  } else {
    softmax_loss(rows, sums, stream);
  }
}

void CudaNetwork::gradients(const CudaBatch& batch, const float* values, float* gradients,
                            StepState* state, cudaStream_t stream) {
  forward(batch, values, state, Mode::train, stream);
  loss(batch, training_sums(state, scratch_), Mode::train, stream);
  const int rows = static_cast<int>(batch.rows.rows);
  for (size_t l = plan_.stages.size() - 1; l > 0; --l) {
    const LinearStage& stage = plan_.stages[l];
    const LinearStage& below = plan_.stages[l - 1];
    linear_backward_input({.batch = rows,
                           .inputs = static_cast<int>(stage.inputs),
                           .outputs = static_cast<int>(stage.outputs),
                           .dy = {gradients_[l].data, gradients_[l].stride},
                           .weight = values + layout_.weight(stage.layer).offset,
                           .x = {outputs_[l - 1].data, outputs_[l - 1].stride},
                           .dx = gradients_[l - 1],
                           .activation = below.activation,
                           .dropout = mask(below, state),
                           .workspace = workspace_.data()},
                          precision_, stream);
  }
  for (size_t l = plan_.stages.size(); l-- > 0;) {
    const LinearStage& stage = plan_.stages[l];
    const DeviceRows<float> x = l == 0 ? input_ : outputs_[l - 1];
    linear_backward_weight({.batch = rows,
                            .inputs = static_cast<int>(stage.inputs),
                            .outputs = static_cast<int>(stage.outputs),
                            .first_unit = 0,
                            .units = static_cast<int>(stage.outputs),
                            .dy = {gradients_[l].data, gradients_[l].stride},
                            .x = {x.data, x.stride},
                            .dweight = gradients + layout_.weight(stage.layer).offset,
                            .dbias = gradients + layout_.bias(stage.layer).offset,
                            .workspace = workspace_.data()},
                           precision_, stream);
  }
}

void CudaNetwork::evaluate(const CudaBatch& batch, const float* values, BatchMetrics* metrics,
                           cudaStream_t stream) {
  forward(batch, values, nullptr, Mode::evaluate, stream);
  if (!batch.data->labels) return;
  loss(batch, {.scratch = scratch_, .metrics = metrics, .state = nullptr}, Mode::evaluate, stream);
}

}  // namespace lockstep
