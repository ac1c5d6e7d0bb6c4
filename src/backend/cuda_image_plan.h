// The part of a network that sees images as a GPU runs it: which kernels, how much memory.
#pragma once

#include <vector>

#include "backend/conv_plan.h"
#include "kernels/conv_shape.h"

namespace lockstep {

// A convolution, with the max pooling that its kernel fuses, or a pooling alone.
struct CudaImageStage {
  ImageStage what;
  ConvShape shape;            // of a convolution
  bool last = false;          // its output is also wanted as a row of features
  bool has_gradient = false;  // its output's: it is a convolution or behind one
  int input_pitch = 0;        // floats between pixels

  int output_pitch() const { return padded_channels(what.output().channels); }
  bool relu() const { return what.activation() == Activation::relu; }
  // Whether a row of features and an image of one pixel lie alike.
  bool one_pixel() const { return what.output().pixels() == 1; }
};

// In the order of the layers. REQUIRES: plan.images is not empty.
std::vector<CudaImageStage> cuda_image_stages(const ConvPlan& plan);

// Of how many samples memory is kept.
struct CudaImageRows {
  int64_t forward = 0;   // of a batch that is evaluated or trained
  int64_t training = 0;  // of one that is trained; 0: none is
};

// What a stage's arrays hold, in elements.
struct CudaImageSizes {
  size_t output = 0;         // floats
  size_t gradient = 0;       // floats, of its output, pixel by pixel
  size_t gradient_rows = 0;  // floats, the same as rows of features
  size_t places = 0;         // bytes: where a fused pooling found the largest
  size_t indices = 0;        // int32: the same of a pooling alone
  size_t weights = 0;        // floats, the copy that products read

  size_t bytes() const {
    return sizeof(float) * (output + gradient + gradient_rows + indices + weights) + places;
  }
};
CudaImageSizes sizes_of(const CudaImageStage& stage, const CudaImageRows& rows);

// Floats that the weights' gradients of batches of so many samples work in, on the current device.
size_t image_workspace(const std::vector<CudaImageStage>& stages, int64_t rows);

// Bytes of device memory for all of it on the current device.
size_t cuda_image_bytes(const ConvPlan& plan, const CudaImageRows& rows);

}  // namespace lockstep
