#include "backend/cuda_images.h"

#include <algorithm>

#include "backend/cuda_dropout.h"
#include "backend/cuda_linear.h"
#include "kernels/conv_backward_input.h"
#include "kernels/conv_backward_weight.h"
#include "kernels/conv_forward.h"
#include "kernels/conv_weights.h"
#include "kernels/gather_images.h"
#include "kernels/image_rows.h"
#include "kernels/pool.h"

namespace lockstep {

CudaImages::CudaImages(const ConvPlan& plan, const ParameterLayout& layout,
                       const StepOptions& options, const CudaImageRows& rows,
                       const int64_t* samples)
    : layout_(layout),
      precision_(options.precision),
      seed_(options.seed),
      input_dropout_(plan.input_dropout),
      rows_(rows),
      samples_(samples) {
  for (const CudaImageStage& stage : cuda_image_stages(plan)) {
    const CudaImageSizes sizes = sizes_of(stage, rows);
    stages_.push_back({stage, DeviceArray<float>(sizes.output), DeviceArray<float>(sizes.gradient),
                       DeviceArray<float>(sizes.gradient_rows), DeviceArray<float>(sizes.weights),
                       DeviceArray<unsigned char>(sizes.places),
                       DeviceArray<int32_t>(sizes.indices)});
  }
  const CudaImageStage& first = stages_.front().plan;
  input_ = DeviceArray<float>(
      static_cast<size_t>(rows.forward * first.what.input().pixels() * first.input_pitch));
  const Stage& last = stages_.back();
  const int64_t stride = row_stride(last.plan.what.output().size());
  output_ = {last.output.data(), stride};
  output_gradient_ = {last.gradient_rows.data(), stride};
}

// What fills the pitch of a pixel is zero from here on: kernels write channels alone.
void CudaImages::prepare(int64_t rows, cudaStream_t stream) {
  if (!cleared_) {
    input_.clear(stream);
    for (const Stage& stage : stages_) {
      stage.output.clear(stream);
      stage.gradient.clear(stream);
      stage.gradient_rows.clear(stream);
    }
    cleared_ = true;
  }
  if (rows > rows_.training || workspaces_.contains(rows)) return;
  std::vector<CudaImageStage> plans;
  for (const Stage& stage : stages_) plans.push_back(stage.plan);
  workspaces_.emplace(rows, DeviceArray<float>(image_workspace(plans, rows)));
}

size_t CudaImages::find(int layer) const {
  const auto found = std::ranges::find_if(stages_, [layer](const Stage& stage) {
    return stage.plan.what.conv && stage.plan.what.layer == layer;
  });
  return static_cast<size_t>(found - stages_.begin());
}

size_t CudaImages::next_convolution(size_t s) const {
  ++s;
  while (s < stages_.size() && !stages_[s].plan.what.conv) ++s;
  return s;
}

DropoutMask CudaImages::mask(const DropoutSpec& dropout, const StepState* state) const {
  return dropout_mask(dropout, seed_, samples_, state);
}

void CudaImages::gather(const CudaBatch& batch, const StepState* state, int32_t* labels,
                        int64_t* samples, cudaStream_t stream) const {
  const CudaImageStage& first = stages_.front().plan;
  const ImageShape shape = first.what.input();
  gather_images(*batch.data, *batch.scale, batch.rows, batch.augmentation, state,
                {.images = by_pixels(input_.data(), shape, first.input_pitch),
                 .shape = shape,
                 .labels = labels,
                 .samples = samples},
                stream);
}

DeviceImages<float> CudaImages::output_of(const Stage& stage) const {
  const ImageShape shape = stage.plan.what.output();
  if (stage.plan.last) return by_planes(stage.output.data(), shape, output_.stride);
  return by_pixels(stage.output.data(), shape);
}

void CudaImages::copy_weights(const float* values, cudaStream_t stream) const {
  std::vector<ConvWeights> copies;
  for (const Stage& stage : stages_) {
    if (!stage.plan.what.conv) continue;
    const TensorSpec& weight = layout_.weight(stage.plan.what.layer);
    copies.push_back({stage.plan.shape, values + weight.offset, stage.weights.data()});
  }
  conv_weights(copies, stream);
}

void CudaImages::forward_stage(size_t s, int64_t rows, const float* values, const StepState* state,
                               cudaStream_t stream) const {
  const Stage& stage = stages_[s];
  const ImageStage& what = stage.plan.what;
  const auto batch = static_cast<int>(rows);
  if (!what.conv) {
    const float* const x = input_of(s);
    pool_forward({.batch = batch,
                  .pool = *what.pool,
                  .x = by_pixels(x, what.input(), stage.plan.input_pitch),
                  .y = output_of(stage),
                  .index = state ? stage.indices.data() : nullptr,
                  .dropout = mask(what.dropout, state)},
                 stream);
    return;
  }
  conv_forward({.batch = batch,
                .shape = stage.plan.shape,
                .x = input_of(s),
                .weight = stage.weights.data(),
                .bias = values + layout_.bias(what.layer).offset,
                .y = output_of(stage),
                .index = state ? stage.places.data() : nullptr,
                .activation = what.activation(),
                .dropout = mask(what.dropout, state)},
               precision_, stream);
}

void CudaImages::forward(int64_t rows, const float* values, const StepState* state,
                         cudaStream_t stream) const {
  const CudaImageStage& first = stages_.front().plan;
  dropout_images(mask(input_dropout_, state),
                 by_pixels(input_.data(), first.what.input(), first.input_pitch),
                 static_cast<int>(rows), first.what.input(), stream);
  copy_weights(values, stream);
  for (size_t s = 0; s < stages_.size(); ++s) forward_stage(s, rows, values, state, stream);
}

ImageBelow CudaImages::below(size_t s, const StepState* state) const {
  const Stage& stage = stages_[s - 1];
  const ImageStage& what = stage.plan.what;
  return {.output = stage.output.data(),
          .relu = stage.plan.relu(),
          .dropout = {mask(what.dropout, state), static_cast<int>(what.output().pixels())}};
}

void CudaImages::backward_stage(size_t s, int64_t rows, const StepState* state,
                                cudaStream_t stream) const {
  const Stage& stage = stages_[s];
  const ImageStage& what = stage.plan.what;
  float* const dx = stages_[s - 1].gradient.data();
  if (!what.conv) {
    const float* const dy = stage.dy();
    pool_backward({.batch = static_cast<int>(rows),
                   .pool = *what.pool,
                   .dy = by_pixels(dy, what.output()),
                   .index = stage.indices.data(),
                   .below = below(s, state),
                   .dx = by_pixels(dx, what.input())},
                  stream);
    return;
  }
  conv_backward_input({.batch = static_cast<int>(rows),
                       .shape = stage.plan.shape,
                       .dy = stage.dy(),
                       .index = stage.places.data(),
                       .weight = stage.weights.data(),
                       .below = below(s, state),
                       .dx = dx},
                      precision_, stream);
}

void CudaImages::backward_to(int layer, int64_t rows, const StepState* state,
                             cudaStream_t stream) const {
  const size_t to = find(layer);
  size_t from = next_convolution(to);
  if (from == stages_.size()) {
    const Stage& last = stages_.back();
    if (last.gradient.size() > 0) {
      images_from_rows({output_gradient_.data, output_gradient_.stride}, static_cast<int>(rows),
                       last.plan.what.output(), last.gradient.data(), stream);
    }
    --from;
  }
  for (; from > to; --from) backward_stage(from, rows, state, stream);
}

void CudaImages::backward_weight(const UnitSlab& slab, int64_t rows, float* gradients,
                                 cudaStream_t stream) const {
  const size_t s = find(slab.layer);
  const Stage& stage = stages_[s];
  conv_backward_weight({.batch = static_cast<int>(rows),
                        .shape = stage.plan.shape,
                        .first_unit = static_cast<int>(slab.first_unit),
                        .units = static_cast<int>(slab.units),
                        .dy = stage.dy(),
                        .index = stage.places.data(),
                        .x = input_of(s),
                        .dweight = gradients + layout_.weight(slab.layer).offset,
                        .dbias = gradients + layout_.bias(slab.layer).offset,
                        .workspace = workspaces_.at(rows).data()},
                       precision_, stream);
}

}  // namespace lockstep
