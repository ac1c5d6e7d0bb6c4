#include "backend/gemm_step.h"

#include <algorithm>
#include <vector>

#include "backend/activation.h"
#include "backend/cpu_step.h"
#include "backend/dropout.h"
#include "backend/gather.h"
#include "backend/gemm.h"
#include "backend/loss.h"
#include "backend/mlp_plan.h"

namespace lockstep {
namespace {

// Rows start at cache lines.
int64_t row_stride(int64_t columns) {
  return (columns + 15) / 16 * 16;
}

// A buffer for up to `capacity` rows.
class RowBuffer {
 public:
  RowBuffer(int64_t capacity, int64_t columns)
      : columns_(columns), data_(capacity * row_stride(columns)) {}
  Matrix rows(int64_t count) { return {data_.data(), count, columns_, row_stride(columns_)}; }

 private:
  int64_t columns_;
  Buffer<float> data_;
};

class GemmStep final : public CpuStep {
 public:
  GemmStep(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
           const StepMemory& memory, const StepOptions& options)
      : CpuStep(layout, memory, options),
        plan_(plan_mlp(model)),
        scaling_(normalization, model.inputs),
        capacity_(part_capacity(options)),
        slab_floats_(slab_floats(options)),
        threads_(options.threads),
        seed_(options.seed),
        input_(capacity_, model.inputs) {
    for (const LinearStage& stage : plan_.stages) {
      outputs_.emplace_back(capacity_, stage.outputs);
      if (&stage != &plan_.stages.back()) output_gradients_.emplace_back(capacity_, stage.outputs);
    }
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const StepSeconds trained = seconds_;
    set_gemm_threads(threads_);
    BatchMetrics metrics;
    for (int64_t first = 0; first < batch.size(); first += capacity_) {
      const Batch part = slice_of_batch(batch, first, std::min(capacity_, batch.size() - first));
      const Matrix output = forward(part, Mode::evaluate);
      metrics += plan_.loss == Loss::softmax_cross_entropy
                     ? softmax_cross_entropy(part, output)
                     : binary_cross_entropy_loss(part, output);
      if (logits.empty()) continue;
      for (int64_t i = 0; i < output.rows; ++i) {
        std::copy_n(output.row(i), output.columns, logits.data() + (first + i) * output.columns);
      }
    }
    seconds_ = trained;
    return metrics;
  }

 protected:
  BatchMetrics propagate(const Batch& part, float*) override {
    set_gemm_threads(threads_);
    rows_ = part.size();
    if (rows_ == 0) return {};
    const Matrix logits = forward(part, Mode::train);
    const BatchMetrics metrics = plan_.loss == Loss::softmax_cross_entropy
                                     ? softmax_cross_entropy_backward(part, logits)
                                     : binary_cross_entropy_backward(part, logits);
    for (size_t l = plan_.stages.size() - 1; l > 0; --l) {
      const LinearStage& stage = plan_.stages[l - 1];
      const Matrix dx = output_gradients_[l - 1].rows(rows_);
      multiply(output_gradient(l), weights(l), dx);
      if (stage.activation == Activation::relu) {
        const float scale =
            stage.dropout.present() ? dropout_of(stage.dropout, part.epoch).keep_scale : 1.0f;
        relu_backward(dx, outputs_[l - 1].rows(rows_), scale);
      } else if (stage.dropout.present()) {
        apply_dropout(dropout_of(stage.dropout, part.epoch), part, dx);
      }
    }
    return metrics;
  }

  void weight_gradients(float* gradients, const RangeSink& done) override {
    for (size_t l = plan_.stages.size(); l-- > 0;) {
      const Matrix dy = output_gradient(l);
      const TensorSpec& bias = layout_.bias(plan_.stages[l].layer);
      column_sums(dy, gradients + bias.offset);
      done(bias.range());
      weight_slabs(l, dy, gradients, done);
    }
  }

 private:
  enum class Mode { train, evaluate };

  DropoutKey dropout_of(const DropoutSpec& spec, uint32_t epoch) const {
    return dropout_key(seed_, spec.layer, epoch, spec.p);
  }

  ConstMatrix weights(size_t l) const {
    const LinearStage& stage = plan_.stages[l];
    return {values(layout_.weight(stage.layer).offset), stage.outputs, stage.inputs, stage.inputs};
  }

  Matrix input_of(size_t l) { return l == 0 ? input_.rows(rows_) : outputs_[l - 1].rows(rows_); }

  // The gradient of the logits is written over the logits.
  Matrix output_gradient(size_t l) {
    return l + 1 == plan_.stages.size() ? outputs_[l].rows(rows_)
                                        : output_gradients_[l].rows(rows_);
  }

  Matrix forward(const Batch& part, Mode mode) {
    rows_ = part.size();
    Matrix x = input_.rows(rows_);
    clock_.lap(seconds_.compute);
    gather(part, scaling_, x.data, x.stride);
    clock_.lap(seconds_.data);
    if (mode == Mode::train && plan_.input_dropout.present()) {
      apply_dropout(dropout_of(plan_.input_dropout, part.epoch), part, x);
    }
    for (size_t l = 0; l < plan_.stages.size(); ++l) {
      const LinearStage& stage = plan_.stages[l];
      const Matrix y = outputs_[l].rows(rows_);
      multiply_transposed(x, weights(l), y);
      add_bias(y, values(layout_.bias(stage.layer).offset), stage.activation);
      if (mode == Mode::train && stage.dropout.present()) {
        apply_dropout(dropout_of(stage.dropout, part.epoch), part, y);
      }
      x = y;
    }
    return x;
  }

  // Slabs of whole output units, from the last to the first.
  void weight_slabs(size_t l, Matrix dy, float* gradients, const RangeSink& done) {
    const LinearStage& stage = plan_.stages[l];
    const TensorSpec& tensor = layout_.weight(stage.layer);
    const Matrix x = input_of(l);
    const int64_t slab = std::max<int64_t>(static_cast<int64_t>(slab_floats_) / stage.inputs, 1);
    size_t reported = tensor.range().end;
    for (int64_t end = stage.outputs; end > 0; end -= slab) {
      const int64_t begin = std::max<int64_t>(end - slab, 0);
      const size_t offset = tensor.offset + begin * stage.inputs;
      multiply_left_transposed({dy.data + begin, dy.rows, end - begin, dy.stride}, x,
                               {gradients + offset, end - begin, stage.inputs, stage.inputs});
      // Rows need not be whole blocks: the block that the slab starts in waits for the next one.
      const size_t final_from = begin == 0 ? tensor.offset : padded(offset);
      if (final_from < reported) done({final_from, reported});
      reported = std::min(reported, final_from);
    }
  }

  MlpPlan plan_;
  FeatureScaling scaling_;
  int64_t capacity_;
  size_t slab_floats_;
  int threads_;
  uint64_t seed_;
  int64_t rows_ = 0;  // of the part in hand
  RowBuffer input_;
  std::vector<RowBuffer> outputs_;           // after activation and dropout; the last: logits
  std::vector<RowBuffer> output_gradients_;  // of every stage but the last
};

}  // namespace

std::unique_ptr<Step> make_gemm_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options) {
  return std::make_unique<GemmStep>(model, layout, normalization, memory, options);
}

size_t gemm_step_workspace_bytes(const Model& model, const StepOptions& options) {
  const MlpPlan plan = plan_mlp(model);
  int64_t floats = row_stride(model.inputs);
  for (const LinearStage& stage : plan.stages) floats += 2 * row_stride(stage.outputs);
  return floats * CpuStep::part_capacity(options) * sizeof(float);
}

}  // namespace lockstep
