// The launches of a network's step on a GPU, over activations that it owns: of layers that see
// images, where there are any (cuda_images.h), and of linear ones.
#pragma once

#include <optional>
#include <vector>

#include "backend/cuda_data.h"
#include "backend/cuda_images.h"
#include "backend/cuda_linear_choice.h"
#include "backend/cuda_memory.h"
#include "backend/gradient_segments.h"
#include "backend/mlp_plan.h"
#include "kernels/gather.h"
#include "kernels/linear_update.h"
#include "kernels/loss_sums.h"
#include "lockstep/backend.h"

namespace lockstep {

class CudaNetwork {
 public:
  // For batches of at most capacity() rows. With Gemm::automatic the products are measured here.
  // `layout` and `scratch`, which is zero, must outlive this.
  CudaNetwork(const Model& model, const ParameterLayout& layout, const StepOptions& options,
              LossScratch* scratch);

  // Rows of the largest part of a batch that is trained or evaluated at once.
  int64_t capacity() const { return capacity_; }

  // Makes ready for batches of `rows` rows: before one is gathered, and before that is captured.
  void prepare(int64_t rows, cudaStream_t stream) {
    linear_.ops->prepare(static_cast<int>(rows), stream);
    if (images_) images_->prepare(rows, stream);
  }

  // The batch's rows, converted, for what follows. `state` is null for consecutive rows.
  void gather(const CudaBatch& batch, const StepState* state, cudaStream_t stream);

  // Forward, loss, backward of the gathered batch: sums over its samples into `gradients`, its
  // metrics into the state's.
  void gradients(const CudaBatch& batch, const float* values, float* gradients, StepState* state,
                 cudaStream_t stream);

  // gradients() in pieces, in the order in which gradients of weights can be had soonest: forward
  // and loss; then, slab by slab from the last layer's last units on, the gradient of the layer's
  // output where the slab is the layer's first, and the gradients of its weights. The linear layers
  // behind a network's convolutions hold most of its weights and little of its arithmetic: theirs
  // can be exchanged while the convolutions' are computed.
  void forward(const CudaBatch& batch, const float* values, StepState* state, cudaStream_t stream);
  void backward_slab(const CudaBatch& batch, const UnitSlab& slab, const float* values,
                     float* gradients, const StepState* state, cudaStream_t stream);
  // Whether a layer's units can be computed in slabs with the bits of the whole: cuBLASLt may take
  // another algorithm for each.
  bool computes_slabs() const { return is_own(LinearProduct::weight_gradient); }

  // Whether a step over `rows` rows can end in one kernel; train_in_one() then queues all of it
  // that follows gather(): forward, loss, backward, update, the state's advance. Bitwise
  // gradients(), update() and advance_step(), but that the gradients are never in memory.
  bool updates_in_one(int64_t rows) const;
  void train_in_one(const CudaBatch& batch, UpdateRule rule, const ParameterPointers& parameters,
                    const StepPointers& step, cudaStream_t stream);

  // Forward and loss of the gathered batch, dropout off; the logits stay in logits() until the next
  // batch. Metrics are added where there are labels.
  void evaluate(const CudaBatch& batch, const float* values, BatchMetrics* metrics,
                cudaStream_t stream);
  DeviceRows<float> logits() const {
    return plan_.stages.empty() ? images_->output() : gradients_.back();
  }
  int64_t outputs() const { return outputs_of_model_; }
  const std::vector<ProductChoice>& products() const { return linear_.products; }

 private:
  enum class Mode { train, evaluate };

  DeviceRows<float> rows_for(int64_t columns);
  LinearForward forward_pass(size_t l, const CudaBatch& batch, const float* values,
                             const StepState* state, Mode mode) const;
  void forward_hidden(const CudaBatch& batch, const float* values, const StepState* state,
                      Mode mode, cudaStream_t stream);
  void forward_loss(const CudaBatch& batch, const float* values, const LossSums& sums, Mode mode,
                    cudaStream_t stream);
  void gather_moved(const CudaBatch& batch, const StepState* state, cudaStream_t stream);
  void backward_input(size_t l, const CudaBatch& batch, const float* values, const StepState* state,
                      cudaStream_t stream);
  void backward_inputs(const CudaBatch& batch, const float* values, const StepState* state,
                       cudaStream_t stream);
  void backward_weight(const CudaBatch& batch, const UnitSlab& slab, float* gradients,
                       cudaStream_t stream);
  void backward_images(const CudaBatch& batch, const UnitSlab& slab, const float* values,
                       float* gradients, const StepState* state, cudaStream_t stream);
  void compute_loss(const LossRows& rows, const LossSums& sums, cudaStream_t stream) const;
  LossRows loss_rows(DeviceRows<float> gradient, const CudaBatch& batch, Mode mode) const;
  DeviceRows<float> features() const { return images_ ? images_->output() : input_; }
  size_t stage_of(const UnitSlab& slab) const;
  bool is_own(LinearProduct product) const;
  std::vector<LinearUpdateLayer> update_layers() const;
  DropoutMask mask(const DropoutSpec& dropout, const StepState* state) const;

  const ParameterLayout& layout_;
  MlpPlan plan_;
  Precision precision_;
  uint64_t seed_;
  int64_t capacity_;
  ChosenLinear linear_;
  int64_t outputs_of_model_;
  std::vector<DeviceArray<float>> memory_;
  DeviceRows<float> input_;                   // of a network without images
  std::vector<DeviceRows<float>> outputs_;    // of each stage but the last
  std::vector<DeviceRows<float>> gradients_;  // of each stage's output; the last is the logits too
  DeviceArray<int32_t> labels_;
  DeviceArray<int64_t> samples_;
  std::optional<CudaImages> images_;
  LossScratch* scratch_;
};

// Bytes of device memory for the activations of such a network and what its kernels work in.
size_t cuda_network_bytes(const Model& model, const StepOptions& options);

}  // namespace lockstep
