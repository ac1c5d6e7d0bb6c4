#include "backend/cuda_image_plan.h"

#include <algorithm>

#include "backend/cuda_linear.h"
#include "kernels/conv_backward_weight.h"

namespace lockstep {

namespace {

// A pooling of windows larger than the kernel's tiles is a stage of its own.
std::vector<ImageStage> with_pools_apart(const std::vector<ImageStage>& images) {
  std::vector<ImageStage> apart;
  for (const ImageStage& image : images) {
    if (!image.conv || !image.pool || image.pool->kernel <= kMostFusedPool) {
      apart.push_back(image);
      continue;
    }
    apart.push_back({image.layer, image.conv, {}, {}});
    apart.push_back({-1, {}, image.pool, image.dropout});
  }
  return apart;
}

}  // namespace

std::vector<CudaImageStage> cuda_image_stages(const ConvPlan& plan) {
  std::vector<CudaImageStage> stages;
  bool behind_parameters = false;
  for (const ImageStage& image : with_pools_apart(plan.images)) {
    CudaImageStage stage;
    stage.what = image;
    stage.input_pitch =
        stages.empty() ? input_pitch(image.input().channels) : stages.back().output_pitch();
    if (image.conv) {
      const int pool = image.pool ? static_cast<int>(image.pool->kernel) : 1;
      stage.shape = conv_shape(*image.conv, pool, stage.input_pitch);
    }
    behind_parameters = behind_parameters || image.conv.has_value();
    stage.has_gradient = behind_parameters;
    stages.push_back(stage);
  }
  stages.back().last = true;
  return stages;
}

CudaImageSizes sizes_of(const CudaImageStage& stage, const CudaImageRows& rows) {
  const ImageShape output = stage.what.output();
  const auto pixels = static_cast<size_t>(output.pixels() * stage.output_pitch());
  const auto features = static_cast<size_t>(row_stride(output.size()));
  const auto forward = static_cast<size_t>(rows.forward);
  const auto training = static_cast<size_t>(stage.has_gradient ? rows.training : 0);
  CudaImageSizes sizes;
  sizes.output = forward * (stage.last ? features : pixels);
  sizes.gradient = training * (stage.last && stage.one_pixel() ? 0 : pixels);
  sizes.gradient_rows = training * (stage.last ? features : 0);
  const bool max_pool = stage.what.pool && stage.what.pool->kind == PoolKind::max;
  if (max_pool) (stage.what.conv ? sizes.places : sizes.indices) = training * pixels;
  if (stage.what.conv) {
    sizes.weights =
        static_cast<size_t>(stage.shape.outputs) * static_cast<size_t>(stage.shape.weight_pitch());
  }
  return sizes;
}

size_t image_workspace(const std::vector<CudaImageStage>& stages, int64_t rows) {
  size_t floats = 0;
  for (const CudaImageStage& stage : stages) {
    if (!stage.what.conv) continue;
    floats = std::max(floats, conv_backward_weight_workspace(stage.shape, static_cast<int>(rows)));
  }
  return floats;
}

size_t cuda_image_bytes(const ConvPlan& plan, const CudaImageRows& rows) {
  const std::vector<CudaImageStage> stages = cuda_image_stages(plan);
  const CudaImageStage& first = stages.front();
  size_t bytes = sizeof(float) * static_cast<size_t>(rows.forward * first.what.input().pixels()) *
                 static_cast<size_t>(first.input_pitch);
  for (const CudaImageStage& stage : stages) bytes += sizes_of(stage, rows).bytes();
  if (rows.training > 0) bytes += sizeof(float) * image_workspace(stages, rows.training);
  return bytes;
}

}  // namespace lockstep
