#include "backend/cuda_network.h"

#include <algorithm>

#include "backend/dropout.h"
#include "kernels/binary_cross_entropy.h"
#include "kernels/dropout_rows.h"
#include "kernels/linear_softmax_loss.h"
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
      precision_(options.precision),
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

LinearForward CudaNetwork::forward_pass(size_t l, const CudaBatch& batch, const float* values,
                                        const StepState* state, Mode mode) const {
  const LinearStage& stage = plan_.stages[l];
  const DeviceRows<float> x = l == 0 ? input_ : outputs_[l - 1];
  return {.batch = static_cast<int>(batch.rows.rows),
          .inputs = static_cast<int>(stage.inputs),
          .outputs = static_cast<int>(stage.outputs),
          .x = {x.data, x.stride},
          .weight = values + layout_.weight(stage.layer).offset,
          .bias = values + layout_.bias(stage.layer).offset,
          .y = l < outputs_.size() ? outputs_[l] : gradients_[l],
          .activation = stage.activation,
          .dropout = mode == Mode::train ? mask(stage.dropout, state) : DropoutMask{}};
}

void CudaNetwork::forward_hidden(const CudaBatch& batch, const float* values,
                                 const StepState* state, Mode mode, cudaStream_t stream) {
  linear_.ops->begin_step();
  if (mode == Mode::train) {
    dropout_rows(mask(plan_.input_dropout, state), input_, batch.rows.rows,
                 plan_.stages.front().inputs, stream);
  }
  for (size_t l = 0; l < outputs_.size(); ++l) {
    linear_.ops->forward(forward_pass(l, batch, values, state, mode), stream);
  }
}

// The last layer and the loss: in one kernel where that is possible.
void CudaNetwork::forward_loss(const CudaBatch& batch, const float* values, const LossSums& sums,
                               Mode mode, cudaStream_t stream) {
  const LinearForward last = forward_pass(outputs_.size(), batch, values, nullptr, mode);
  const LossRows rows{.logits = last.y.data,
                      .logits_stride = last.y.stride,
                      .labels = labels_.data(),
                      .gradient = mode == Mode::train ? last.y.data : nullptr,
                      .gradient_stride = last.y.stride,
                      .rows = batch.rows.rows,
                      .classes = last.outputs};
  const bool plain = last.activation == Activation::none && !plan_.stages.back().dropout.present();
  if (plan_.loss == Loss::softmax_cross_entropy && plain && is_own(LinearProduct::forward) &&
      linear_softmax_loss_fits(last.batch, last.inputs, last.outputs)) {
    linear_softmax_loss(last, rows, sums, precision_, stream);
    return;
  }
  linear_.ops->forward(last, stream);
  if (plan_.loss == Loss::binary_cross_entropy) {
    binary_cross_entropy_loss(rows, sums, stream);
  } else {
    softmax_loss(rows, sums, stream);
  }
}

// The gradient of stage l's input, which is the output of the stage below.
void CudaNetwork::backward_input(size_t l, const CudaBatch& batch, const float* values,
                                 const StepState* state, cudaStream_t stream) {
  const LinearStage& stage = plan_.stages[l];
  const LinearStage& below = plan_.stages[l - 1];
  linear_.ops->backward_input({.batch = static_cast<int>(batch.rows.rows),
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

void CudaNetwork::backward_inputs(const CudaBatch& batch, const float* values,
                                  const StepState* state, cudaStream_t stream) {
  for (size_t l = plan_.stages.size() - 1; l > 0; --l) {
    backward_input(l, batch, values, state, stream);
  }
}

size_t CudaNetwork::stage_of(const UnitSlab& slab) const {
  const auto stage = std::ranges::find(plan_.stages, slab.layer, &LinearStage::layer);
  return static_cast<size_t>(stage - plan_.stages.begin());
}

void CudaNetwork::backward_weight(const CudaBatch& batch, const UnitSlab& slab, float* gradients,
                                  cudaStream_t stream) {
  const LinearUpdateLayer layer = update_layers()[stage_of(slab)];
  linear_.ops->backward_weight({.batch = static_cast<int>(batch.rows.rows),
                                .inputs = layer.inputs,
                                .outputs = layer.outputs,
                                .first_unit = static_cast<int>(slab.first_unit),
                                .units = static_cast<int>(slab.units),
                                .dy = layer.dy,
                                .x = layer.x,
                                .dweight = gradients + layer.weight,
                                .dbias = gradients + layer.bias},
                               stream);
}

void CudaNetwork::forward(const CudaBatch& batch, const float* values, StepState* state,
                          cudaStream_t stream) {
  forward_hidden(batch, values, state, Mode::train, stream);
  forward_loss(batch, values, training_sums(state, scratch_), Mode::train, stream);
}

void CudaNetwork::backward_slab(const CudaBatch& batch, const UnitSlab& slab, const float* values,
                                float* gradients, const StepState* state, cudaStream_t stream) {
  const size_t l = stage_of(slab);
  const bool first_of_layer = slab.first_unit + slab.units == plan_.stages[l].outputs;
  if (first_of_layer && l + 1 < plan_.stages.size()) {
    backward_input(l + 1, batch, values, state, stream);
  }
  backward_weight(batch, slab, gradients, stream);
}

void CudaNetwork::gradients(const CudaBatch& batch, const float* values, float* gradients,
                            StepState* state, cudaStream_t stream) {
  forward(batch, values, state, stream);
  for (size_t l = plan_.stages.size(); l-- > 0;) {
    const LinearStage& stage = plan_.stages[l];
    backward_slab(batch, {stage.layer, 0, stage.outputs}, values, gradients, state, stream);
  }
}

bool CudaNetwork::updates_in_one(int64_t rows) const {
  return is_own(LinearProduct::weight_gradient) &&
         linear_update_fits(update_layers(), static_cast<int>(rows));
}

void CudaNetwork::train_in_one(const CudaBatch& batch, UpdateRule rule,
                               const ParameterPointers& parameters, const StepPointers& step,
                               cudaStream_t stream) {
  forward_hidden(batch, parameters.values, step.state, Mode::train, stream);
  forward_loss(batch, parameters.values, training_sums(step.state, scratch_), Mode::train, stream);
  backward_inputs(batch, parameters.values, step.state, stream);
  linear_update(update_layers(), static_cast<int>(batch.rows.rows), precision_, rule, parameters,
                step, &scratch_->ticket, stream);
}

// By kernels of our own, for every layer.
bool CudaNetwork::is_own(LinearProduct product) const {
  return std::ranges::all_of(linear_.products, [&](const ProductChoice& choice) {
    return choice.product != product || choice.gemm == Gemm::own;
  });
}

std::vector<LinearUpdateLayer> CudaNetwork::update_layers() const {
  std::vector<LinearUpdateLayer> layers;
  for (size_t l = 0; l < plan_.stages.size(); ++l) {
    const LinearStage& stage = plan_.stages[l];
    const DeviceRows<float> x = l == 0 ? input_ : outputs_[l - 1];
    layers.push_back({.inputs = static_cast<int>(stage.inputs),
                      .outputs = static_cast<int>(stage.outputs),
                      .dy = {gradients_[l].data, gradients_[l].stride},
                      .x = {x.data, x.stride},
                      .weight = layout_.weight(stage.layer).offset,
                      .bias = layout_.bias(stage.layer).offset});
  }
  return layers;
}

void CudaNetwork::evaluate(const CudaBatch& batch, const float* values, BatchMetrics* metrics,
                           cudaStream_t stream) {
  prepare(batch.rows.rows, stream);
  forward_hidden(batch, values, nullptr, Mode::evaluate, stream);
  if (batch.data->labels) {
    const LossSums sums{.scratch = scratch_, .metrics = metrics, .state = nullptr};
    forward_loss(batch, values, sums, Mode::evaluate, stream);
  } else {
    linear_.ops->forward(forward_pass(outputs_.size(), batch, values, nullptr, Mode::evaluate),
                         stream);
  }
}

size_t cuda_products_bytes(const Model& model, const StepOptions& options) {
  if (options.gemm == Gemm::own) return 0;
  return cublas_linear_bytes(linear_network(plan_mlp(model), options));
}

}  // namespace lockstep
