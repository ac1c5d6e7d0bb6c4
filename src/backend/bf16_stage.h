// One linear layer in bf16: the operands of its three products, rounded and laid out once, and the
// products, compiled for the numbers of samples that come by.
#pragma once

#include <memory>
#include <vector>

#include "backend/bf16_ops.h"
#include "backend/mlp_plan.h"
#include "backend/slabs.h"
#include "lockstep/buffer.h"
#include "lockstep/parameters.h"

namespace lockstep {

// Products by number of samples, made when first needed: a training has few such numbers (its
// share of a batch, the last short batch, evaluation). Of a caller with many the oldest go.
class ProductCache {
 public:
  template <class Make>
  std::vector<Product>& at(int64_t samples, const Make& make) {
    for (Entry& entry : entries_) {
      if (entry.samples == samples) return entry.products;
    }
    if (entries_.size() == kKept) entries_.erase(entries_.begin());
    entries_.push_back({samples, make()});
    return entries_.back().products;
  }

 private:
  static constexpr size_t kKept = 16;
  struct Entry {
    int64_t samples;
    std::vector<Product> products;
  };
  std::vector<Entry> entries_;
};

class Bf16Stage {
 public:
  // What a stage is needed for.
  enum class Role { evaluate, first, inner };

  // For up to `capacity` samples. `weight` [outputs, inputs] and `bias` [outputs] are the float32
  // masters; they and `tensor` must outlive the stage.
  Bf16Stage(const LinearStage& stage, Role role, int64_t capacity, const TensorSpec& tensor,
            const float* weight, const float* bias);
  // What the constructor allocates.
  static size_t bytes(const LinearStage& stage, Role role, int64_t capacity);

  // Rounds the masters, whenever they have changed. Afterwards weight is not read until the next
  // time; bias is read by forward().
  void round_weights();

  // So many samples follow; none: no other call does.
  void start(int64_t samples);
  // Samples [first, first + x.rows) of the input are activation(x). REQUIRES: `first` even.
  void set_input(ConstMatrix x, Activation activation, int64_t first);
  // All of it are a batch's features.
  void set_input(const Batch& batch, const FeatureScaling& scaling);
  const Bf16* input(int64_t sample) const { return input_.data() + sample * inputs_; }

  // y [samples, outputs] = x W^T + b, without gaps.
  void forward(float* y);

  // Samples [first, first + kColumnBlock) of the gradient of y, of which the first `count` exist
  // and the others are zero. In fours, dy is readable beyond its columns.
  void set_gradient(ConstMatrix dy, int64_t first, int64_t count);
  // dx [samples, inputs] = dy W, without gaps. REQUIRES: Role::inner.
  void input_gradient(float* dx);
  // The sum over samples of dy, in float32 and not rounded.
  const Buffer<float>& bias_gradient() const { return bias_gradient_; }
  // Last units first, the same whatever the bucket size: another shape may have other bits.
  const std::vector<Slab>& slabs() const { return slabs_; }
  // dw [units of the slab, inputs] = dy^T x.
  void weight_gradient(size_t slab, float* dw);

 private:
  // Weight gradients sum over whole blocks of samples, the last filled up with zeros.
  int64_t summed_samples() const { return whole_blocks(samples_); }
  static int64_t whole_blocks(int64_t samples) {
    return (samples + kColumnBlock - 1) / kColumnBlock * kColumnBlock;
  }
  Paired input_pairs() { return {{summed_samples(), inputs_}, input_pairs_.data()}; }
  RoundedRows input_rows();
  std::vector<Product> compile_weight_gradient() const;

  // Elements of the buffers below; 0 where the role has no use for one.
  struct Sizes {
    size_t input, input_pairs, weight_transposed, weight, gradient, gradient_columns, bias_gradient;
    Sizes(const LinearStage& stage, Role role, int64_t capacity);
  };

  int64_t inputs_;
  int64_t outputs_;
  Role role_;
  const float* master_;
  const float* bias_;
  std::vector<Slab> slabs_;
  int64_t samples_ = 0;
  Buffer<Bf16> input_;              // [samples, inputs]
  Buffer<Bf16> input_pairs_;        // the same, to the whole block
  Buffer<Bf16> weight_transposed_;  // [inputs, outputs], paired
  Buffer<Bf16> weight_;             // [outputs, inputs], paired
  Buffer<Bf16> gradient_;           // [samples, outputs]
  Buffer<Bf16> gradient_columns_;   // [outputs, summed samples]
  Buffer<float> bias_gradient_;     // [outputs]
  ProductCache forward_, input_gradient_, weight_gradient_;
};

}  // namespace lockstep
