// A model on a GPU: weights, gradients and optimizer state in its memory, and what a training step
// and an evaluation launch.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "backend/cuda_network.h"
#include "backend/cuda_phases.h"
#include "kernels/logistic.h"
#include "kernels/optimizer.h"
#include "kernels/step_state.h"

namespace lockstep {

// One stream uses it. `layout`, the model and StepMemory must outlive it.
class CudaModel {
 public:
  // Returns when the device has weights and state.
  CudaModel(const Model& model, const ParameterLayout& layout, const StepMemory& memory,
            const StepOptions& options, cudaStream_t stream);

  // Makes ready for steps of parts of `rows` rows in `stream`: before one is captured.
  void prepare(int64_t rows, cudaStream_t stream) {
    if (network_) network_->prepare(rows, stream);
  }

  std::vector<ProductChoice> products() const {
    return network_ ? network_->products() : std::vector<ProductChoice>();
  }

  // Queues a whole step over a batch: gradients of its parts, added left to right, the update, the
  // state's advance. `phases`, where not null, are marked; a step in one kernel has none.
  void queue_step(std::span<const CudaBatch> parts, const StepPointers& step, CudaPhases* phases,
                  cudaStream_t stream);
  // Whether the update is part of what computes the gradients, which are then not in memory.
  bool updates_in_one(std::span<const CudaBatch> parts) const;

  // The same step shared with other workers, in pieces, each behind the one before: the batch's
  // rows where they can be gathered apart; forward, and the tail; backward, for each segment its
  // slabs; the update of each bucket once it is summed. `parts` may all be empty.
  std::vector<GradientSegment> plan_segments(const std::vector<Range>& buckets) const;
  bool gathers_apart(std::span<const CudaBatch> parts) const;
  void queue_gather(std::span<const CudaBatch> parts, const StepPointers& step,
                    cudaStream_t stream);
  enum class Gathered { no, yes };
  void queue_forward(std::span<const CudaBatch> parts, const StepPointers& step, Gathered gathered,
                     cudaStream_t stream);
  bool has_slabs(std::span<const CudaBatch> parts, const GradientSegment& segment) const;
  void queue_slabs(std::span<const CudaBatch> parts, const GradientSegment& segment,
                   const StepPointers& step, cudaStream_t stream);
  void queue_reduced_update(std::span<const Range> ranges, const StepPointers& step,
                            unsigned bucket, cudaStream_t stream) const;
  float* gradients() const { return gradients_.data(); }
  float* tail() const { return gradients_.data() + layout_.size(); }  // kernels/shared_step.h
  const DeviceArray<float>& values() const { return values_; }
  const DeviceArray<float>& states() const { return states_; }

  bool has_phases() const { return network_ || part_gradients_.size() > 0; }

  // Queues forward and loss, whose sums are added to `metrics`. `logits`, where not empty, receive
  // [rows, outputs]; it then returns when they are there.
  void evaluate(const CudaBatch& batch, std::span<float> logits, BatchMetrics* metrics,
                cudaStream_t stream);

  // Copies weights and state to the StepMemory; returns when they are there.
  void write_back(cudaStream_t stream) const;

  // Of each tensor; returns when they are known.
  std::vector<ValueSummary> summarize_weights(cudaStream_t stream) const;

 private:
  void evaluate_part(const CudaBatch& batch, std::span<float> logits, BatchMetrics* metrics,
                     cudaStream_t stream);
  ParameterPointers parameters() const;
  LogisticModel logistic(const CudaBatch& batch) const;
  void queue_gradients(const CudaBatch& part, float* to, StepState* state, CudaPhases* phases,
                       cudaStream_t stream);

  const ParameterLayout& layout_;
  StepMemory memory_;
  UpdateRule rule_;
  DeviceArray<float> values_, gradients_, part_gradients_, states_;
  DeviceArray<LossScratch> loss_scratch_;
  std::optional<CudaNetwork> network_;  // else logistic regression in one pass
  DeviceArray<float> logistic_scratch_, logits_;
};

}  // namespace lockstep
