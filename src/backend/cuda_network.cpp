#include "backend/cuda_network.h"

#include <algorithm>

#include "backend/dropout.h"
#include "kernels/binary_cross_entropy.h"
#include "kernels/dropout_rows.h"
#include "kernels/softmax_loss.h"

namespace lockstep {
namespace {

LinearNetwork linear_network(const MlpPlan& plan, const StepOptions& options) {
  LinearNetwork network;
  for (const LinearStage& stage : plan.stages) {
    network.layers.push_back(
        {static_cast<int>(stage.inputs), static_cast<int>(stage.outputs), stage.activation});
  }
  network.rows = static_cast<int>(options.max_batch);
  network.precision = options.precision;
  return network;
}

// Samples of a full batch's largest part.
int part_of_batch(const StepOptions& options) {
  return static_cast<int>((options.train_batch + options.accumulate - 1) / options.accumulate);
}

}  // namespace

CudaNetwork::CudaNetwork(const Model& model, const ParameterLayout& layout,
                         const StepOptions& options, LossScratch* scratch)
    : layout_(layout),
      plan_(plan_mlp(model)),
      seed_(options.seed),
      capacity_(options.max_batch),
      linear_(choose_linear(linear_network(plan_, options), options.gemm, part_of_batch(options))),
      labels_(options.max_batch),
      samples_(options.max_batch),
      scratch_(scratch) {
  input_ = rows_for(model.inputs);
  for (const LinearStage& stage : plan_.stages) {
    gradients_.push_back(rows_for(stage.outputs));
    if (&stage != &plan_.stages.back()) outputs_.push_back(rows_for(stage.outputs));
  }
}

DeviceRows<float> CudaNetwork::rows_for(int64_t columns) {
  const int64_t stride = row_stride(columns);
  memory_.emplace_back(capacity_ * stride);
  return {memory_.back().data(), stride};
}

DropoutMask CudaNetwork::mask(const DropoutSpec& dropout, const StepState* state) const {
  if (!dropout.present()) return {};
  const DropoutKey key = dropout_key(seed_, dropout.layer, 0, dropout.p);
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
  if (mode == Mode::train) {
    dropout_rows(mask(plan_.input_dropout, state), input_, batch.rows.rows,
                 plan_.stages.front().inputs, stream);
  }
  DeviceRows<float> x = input_;
  for (size_t l = 0; l < plan_.stages.size(); ++l) {
    const LinearStage& stage = plan_.stages[l];
    const DeviceRows<float> y = l < outputs_.size() ? outputs_[l] : gradients_[l];
    linear_.ops->forward(
        {.batch = static_cast<int>(batch.rows.rows),
         .inputs = static_cast<int>(stage.inputs),
         .outputs = static_cast<int>(stage.outputs),
         .x = {x.data, x.stride},
         .weight = values + layout_.weight(stage.layer).offset,
         .bias = values + layout_.bias(stage.layer).offset,
         .y = y,
         .activation = stage.activation,
         .dropout = mode == Mode::train ? mask(stage.dropout, state) : DropoutMask{}},
        stream);
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
    linear_.ops->backward_input({.batch = rows,
                                 .inputs = static_cast<int>(stage.inputs),
                                 .outputs = static_cast<int>(stage.outputs),
                                 .dy = {gradients_[l].data, gradients_[l].stride},
                                 .weight = values + layout_.weight(stage.layer).offset,
                                 .x = {outputs_[l - 1].data, outputs_[l - 1].stride},
                                 .dx = gradients_[l - 1],
                                 .activation = below.activation,
                                 .dropout = mask(below.dropout, state)},
                                stream);
  }
  for (size_t l = plan_.stages.size(); l-- > 0;) {
    const LinearStage& stage = plan_.stages[l];
    const DeviceRows<float> x = l == 0 ? input_ : outputs_[l - 1];
    linear_.ops->backward_weight({.batch = rows,
                                  .inputs = static_cast<int>(stage.inputs),
                                  .outputs = static_cast<int>(stage.outputs),
                                  .first_unit = 0,
                                  .units = static_cast<int>(stage.outputs),
                                  .dy = {gradients_[l].data, gradients_[l].stride},
                                  .x = {x.data, x.stride},
                                  .dweight = gradients + layout_.weight(stage.layer).offset,
                                  .dbias = gradients + layout_.bias(stage.layer).offset},
                                 stream);
  }
}

void CudaNetwork::evaluate(const CudaBatch& batch, const float* values, BatchMetrics* metrics,
                           cudaStream_t stream) {
  prepare(batch.rows.rows);
  forward(batch, values, nullptr, Mode::evaluate, stream);
  if (!batch.data->labels) return;
  loss(batch, {.scratch = scratch_, .metrics = metrics, .state = nullptr}, Mode::evaluate, stream);
}

size_t cuda_products_bytes(const Model& model, const StepOptions& options) {
  if (options.gemm == Gemm::own) return 0;
  return cublas_linear_bytes(linear_network(plan_mlp(model), options));
}

}  // namespace lockstep
