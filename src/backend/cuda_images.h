// The launches of the part of a network that sees images, on a GPU, over activations that it owns:
// from a batch's samples to rows of features, and back from the gradient of those.
#pragma once

#include <map>
#include <vector>

#include "backend/cuda_data.h"
#include "backend/cuda_image_plan.h"
#include "backend/cuda_memory.h"
#include "backend/gradient_segments.h"
#include "kernels/device_rows.h"
#include "kernels/image_below.h"
#include "kernels/step_state.h"
#include "lockstep/backend.h"

namespace lockstep {

class CudaImages {
 public:
  // `layout` and `samples`, of the batch in device memory, must outlive this.
  CudaImages(const ConvPlan& plan, const ParameterLayout& layout, const StepOptions& options,
             const CudaImageRows& rows, const int64_t* samples);

  // Makes ready for batches of `rows` samples in `stream`: before one is captured.
  void prepare(int64_t rows, cudaStream_t stream);

  // The batch's images, converted and moved; its labels and samples where not null.
  void gather(const CudaBatch& batch, const StepState* state, int32_t* labels, int64_t* samples,
              cudaStream_t stream) const;

  // Of the gathered batch, to output(). `state`: of a training step; null in evaluation, which
  // drops nothing and keeps nothing for a gradient.
  void forward(int64_t rows, const float* values, const StepState* state,
               cudaStream_t stream) const;
  // Rows of features, plane by plane, as a flattened image has them.
  DeviceRows<float> output() const { return output_; }
  // What made them, for the gradient that the layer behind computes.
  Activation activation() const { return stages_.back().plan.what.activation(); }
  const DropoutSpec& dropout() const { return stages_.back().plan.what.dropout; }

  // Whether any layer here has parameters: if so output_gradient() is wanted, taken through
  // activation() and dropout().
  bool has_parameters() const { return stages_.back().plan.has_gradient; }
  DeviceRows<float> output_gradient() const { return output_gradient_; }

  // Whether the layer is one of these convolutions.
  bool has(int layer) const { return find(layer) < stages_.size(); }
  // Of them the last: its gradient comes from output_gradient().
  bool is_last(int layer) const { return next_convolution(find(layer)) == stages_.size(); }
  // The gradient of that convolution's output: from output_gradient() for the last convolution,
  // from the one behind it for others, whose own gradient is there.
  void backward_to(int layer, int64_t rows, const StepState* state, cudaStream_t stream) const;
  // Behind it: the gradients of the slab's weights.
  void backward_weight(const UnitSlab& slab, int64_t rows, float* gradients,
                       cudaStream_t stream) const;
  int64_t units(int layer) const { return stages_[find(layer)].plan.shape.outputs; }

 private:
  struct Stage {
    CudaImageStage plan;
    DeviceArray<float> output, gradient, gradient_rows, weights;
    DeviceArray<unsigned char> places;
    DeviceArray<int32_t> indices;
    // Pixel by pixel; of the last stage that may be its rows.
    float* dy() const { return gradient.size() > 0 ? gradient.data() : gradient_rows.data(); }
  };

  size_t find(int layer) const;             // stages_.size(): it is none of them
  size_t next_convolution(size_t s) const;  // behind stage s; stages_.size(): there is none
  const float* input_of(size_t s) const {
    return s == 0 ? input_.data() : stages_[s - 1].output.data();
  }
  DropoutMask mask(const DropoutSpec& dropout, const StepState* state) const;
  DeviceImages<float> output_of(const Stage& stage) const;
  ImageBelow below(size_t s, const StepState* state) const;
  void copy_weights(const float* values, cudaStream_t stream) const;
  void forward_stage(size_t s, int64_t rows, const float* values, const StepState* state,
                     cudaStream_t stream) const;
  // The gradient of the output of stage s - 1.
  void backward_stage(size_t s, int64_t rows, const StepState* state, cudaStream_t stream) const;

  const ParameterLayout& layout_;
  Precision precision_;
  uint64_t seed_;
  DropoutSpec input_dropout_;
  CudaImageRows rows_;
  const int64_t* samples_;
  std::vector<Stage> stages_;
  DeviceArray<float> input_;
  DeviceRows<float> output_, output_gradient_;
  std::map<int64_t, DeviceArray<float>> workspaces_;  // by rows
  bool cleared_ = false;
};

}  // namespace lockstep
