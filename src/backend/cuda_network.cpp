#include "backend/cuda_network.h"

#include <algorithm>
#include <utility>

#include "backend/cuda_dropout.h"
#include "kernels/binary_cross_entropy.h"
#include "kernels/dropout_rows.h"
#include "kernels/gather_images.h"
#include "kernels/linear_softmax_loss.h"
#include "kernels/softmax_loss.h"

namespace lockstep {
namespace {

// Its linear layers; the others are `images`.
struct NetworkPlan {
  MlpPlan linear;
  std::optional<ConvPlan> images;
};

NetworkPlan plan_network(const Model& model) {
  if (!model.convolutional()) return {plan_mlp(model), {}};
  ConvPlan plan = plan_conv(model);
  MlpPlan linear = plan.linear;
  return {std::move(linear), std::move(plan)};
}

// Samples of a full batch's largest part.
int64_t part_of_batch(const StepOptions& options) {
  return (options.train_batch + options.accumulate - 1) / options.accumulate;
}

// Evaluation is given blocks of at most so many samples.
constexpr int64_t kEvaluated = 512;

// Images take much memory: of them no more is kept than a part of a batch, or an evaluated block.
CudaImageRows image_rows(const StepOptions& options) {
  const int64_t part = options.train_batch > 0 ? part_of_batch(options) : options.max_batch;
  return {.forward = std::max(part, std::min(options.max_batch, kEvaluated)),
          .training = options.evaluate_only ? 0 : part};
}

int64_t capacity_of(const NetworkPlan& plan, const StepOptions& options) {
  return plan.images ? image_rows(options).forward : options.max_batch;
}

LinearNetwork linear_network(const NetworkPlan& plan, const StepOptions& options) {
  LinearNetwork network;
  for (const LinearStage& stage : plan.linear.stages) {
    network.layers.push_back(
        {static_cast<int>(stage.inputs), static_cast<int>(stage.outputs), stage.activation});
  }
  network.rows = static_cast<int>(capacity_of(plan, options));
  network.precision = options.precision;
  network.input_gradient = plan.images && cuda_image_stages(*plan.images).back().has_gradient;
  return network;
}

}  // namespace

CudaNetwork::CudaNetwork(const Model& model, const ParameterLayout& layout,
                         const StepOptions& options, LossScratch* scratch)
    : layout_(layout), precision_(options.precision), seed_(options.seed), scratch_(scratch) {
  const NetworkPlan plan = plan_network(model);
  plan_ = plan.linear;
  capacity_ = capacity_of(plan, options);
  labels_ = DeviceArray<int32_t>(capacity_);
  samples_ = DeviceArray<int64_t>(capacity_);
  const Gemm gemm = plan_.stages.empty() ? Gemm::own : options.gemm;
  linear_ =
      choose_linear(linear_network(plan, options), gemm, static_cast<int>(part_of_batch(options)));
  if (plan.images) {
    images_.emplace(*plan.images, layout, options, image_rows(options), samples_.data());
  } else {
    input_ = rows_for(model.inputs);
  }
  outputs_of_model_ = plan_.stages.empty() ? plan.images->images.back().output().size()
                                           : plan_.stages.back().outputs;
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
  return dropout_mask(dropout, seed_, samples_.data(), state);
}

void CudaNetwork::gather(const CudaBatch& batch, const StepState* state, cudaStream_t stream) {
  int32_t* const labels = batch.data->labels ? labels_.data() : nullptr;
  if (images_) return images_->gather(batch, state, labels, samples_.data(), stream);
  if (batch.augmentation && state) return gather_moved(batch, state, stream);
  lockstep::gather(
      *batch.data, *batch.scale, batch.rows, state,
      {.rows = input_.data, .stride = input_.stride, .labels = labels, .samples = samples_.data()},
      stream);
}

// Images that no layer sees as such.
void CudaNetwork::gather_moved(const CudaBatch& batch, const StepState* state,
                               cudaStream_t stream) {
  const ImageShape& shape = batch.augmentation->image;
  gather_images(*batch.data, *batch.scale, batch.rows, batch.augmentation, state,
                {.images = by_planes(input_.data, shape, input_.stride),
                 .shape = shape,
                 .labels = batch.data->labels ? labels_.data() : nullptr,
                 .samples = samples_.data()},
                stream);
}

LinearForward CudaNetwork::forward_pass(size_t l, const CudaBatch& batch, const float* values,
                                        const StepState* state, Mode mode) const {
  const LinearStage& stage = plan_.stages[l];
  const DeviceRows<float> x = l == 0 ? features() : outputs_[l - 1];
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
  const StepState* const training = mode == Mode::train ? state : nullptr;
  if (images_) {
    images_->forward(batch.rows.rows, values, training, stream);
  } else {
    dropout_rows(mask(plan_.input_dropout, training), input_, batch.rows.rows,
                 plan_.stages.front().inputs, stream);
  }
  for (size_t l = 0; l < outputs_.size(); ++l) {
    linear_.ops->forward(forward_pass(l, batch, values, state, mode), stream);
  }
}

// Of the logits; their gradient goes to `gradient`, maybe in their place.
LossRows CudaNetwork::loss_rows(DeviceRows<float> gradient, const CudaBatch& batch,
                                Mode mode) const {
  return {.logits = logits().data,
          .logits_stride = logits().stride,
          .labels = labels_.data(),
          .gradient = mode == Mode::train ? gradient.data : nullptr,
          .gradient_stride = gradient.stride,
          .rows = batch.rows.rows,
          .classes = static_cast<int>(outputs_of_model_)};
}

void CudaNetwork::compute_loss(const LossRows& rows, const LossSums& sums,
                               cudaStream_t stream) const {
  if (plan_.loss == Loss::binary_cross_entropy) {
    binary_cross_entropy_loss(rows, sums, stream);
  } else {
    softmax_loss(rows, sums, stream);
  }
}

// The last layer and the loss: in one kernel where that is possible.
void CudaNetwork::forward_loss(const CudaBatch& batch, const float* values, const LossSums& sums,
                               Mode mode, cudaStream_t stream) {
  if (plan_.stages.empty()) {
    return compute_loss(loss_rows(images_->output_gradient(), batch, mode), sums, stream);
  }
  const LinearForward last = forward_pass(outputs_.size(), batch, values, nullptr, mode);
  const LossRows rows = loss_rows(last.y, batch, mode);
  const bool plain = last.activation == Activation::none && !plan_.stages.back().dropout.present();
  if (plan_.loss == Loss::softmax_cross_entropy && plain && is_own(LinearProduct::forward) &&
      linear_softmax_loss_fits(last.batch, last.inputs, last.outputs)) {
    linear_softmax_loss(last, rows, sums, precision_, stream);
    return;
  }
  linear_.ops->forward(last, stream);
  compute_loss(rows, sums, stream);
}

// The gradient of stage l's input, which is the output of the stage below, or of the images.
void CudaNetwork::backward_input(size_t l, const CudaBatch& batch, const float* values,
                                 const StepState* state, cudaStream_t stream) {
  const LinearStage& stage = plan_.stages[l];
  const bool on_images = l == 0;
  const DeviceRows<float> x = on_images ? features() : outputs_[l - 1];
  const Activation activation = on_images ? images_->activation() : plan_.stages[l - 1].activation;
  const DropoutSpec& dropout = on_images ? images_->dropout() : plan_.stages[l - 1].dropout;
  linear_.ops->backward_input({.batch = static_cast<int>(batch.rows.rows),
                               .inputs = static_cast<int>(stage.inputs),
                               .outputs = static_cast<int>(stage.outputs),
                               .dy = {gradients_[l].data, gradients_[l].stride},
                               .weight = values + layout_.weight(stage.layer).offset,
                               .x = {x.data, x.stride},
                               .dx = on_images ? images_->output_gradient() : gradients_[l - 1],
                               .activation = activation,
                               .dropout = mask(dropout, state)},
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
  if (images_ && images_->has(slab.layer)) {
    return backward_images(batch, slab, values, gradients, state, stream);
  }
  const size_t l = stage_of(slab);
  const bool first_of_layer = slab.first_unit + slab.units == plan_.stages[l].outputs;
  if (first_of_layer && l + 1 < plan_.stages.size()) {
    backward_input(l + 1, batch, values, state, stream);
  }
  backward_weight(batch, slab, gradients, stream);
}

// The first slab of the last convolution also takes the linear layers' gradient to the images.
void CudaNetwork::backward_images(const CudaBatch& batch, const UnitSlab& slab, const float* values,
                                  float* gradients, const StepState* state, cudaStream_t stream) {
  const int64_t rows = batch.rows.rows;
  if (slab.first_unit + slab.units == images_->units(slab.layer)) {
    if (images_->is_last(slab.layer) && !plan_.stages.empty()) {
      backward_input(0, batch, values, state, stream);
    }
    images_->backward_to(slab.layer, rows, state, stream);
  }
  images_->backward_weight(slab, rows, gradients, stream);
}

void CudaNetwork::gradients(const CudaBatch& batch, const float* values, float* gradients,
                            StepState* state, cudaStream_t stream) {
  forward(batch, values, state, stream);
  const std::vector<TensorSpec>& tensors = layout_.tensors();
  for (size_t t = tensors.size(); t > 0; --t) {
    const TensorSpec& tensor = tensors[t - 1];
    if (&tensor != &layout_.weight(tensor.layer)) continue;
    backward_slab(batch, {tensor.layer, 0, tensor.rows()}, values, gradients, state, stream);
  }
}

bool CudaNetwork::updates_in_one(int64_t rows) const {
  return !images_ && is_own(LinearProduct::weight_gradient) &&
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
    const DeviceRows<float> x = l == 0 ? features() : outputs_[l - 1];
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
  forward_hidden(batch, values, nullptr, Mode::evaluate, stream);
  if (batch.data->labels) {
    const LossSums sums{.scratch = scratch_, .metrics = metrics, .state = nullptr};
    forward_loss(batch, values, sums, Mode::evaluate, stream);
  } else if (!plan_.stages.empty()) {
    linear_.ops->forward(forward_pass(outputs_.size(), batch, values, nullptr, Mode::evaluate),
                         stream);
  }
}

size_t cuda_network_bytes(const Model& model, const StepOptions& options) {
  const NetworkPlan plan = plan_network(model);
  const auto capacity = static_cast<size_t>(capacity_of(plan, options));
  size_t bytes = capacity * (sizeof(int32_t) + sizeof(int64_t));  // labels and samples
  for (const LinearStage& stage : plan.linear.stages) {
    bytes += capacity * 2 * static_cast<size_t>(row_stride(stage.outputs)) * sizeof(float);
  }
  if (plan.images) {
    bytes += cuda_image_bytes(*plan.images, image_rows(options));
  } else {
    bytes += capacity * static_cast<size_t>(row_stride(model.inputs)) * sizeof(float);
  }
  const bool cublas = options.gemm != Gemm::own && !plan.linear.stages.empty();
  return bytes + (cublas ? cublas_linear_bytes(linear_network(plan, options)) : 0);
}

}  // namespace lockstep
