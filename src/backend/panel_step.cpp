#include "backend/panel_step.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "backend/cpu_step.h"
#include "backend/gather.h"
#include "backend/mlp_plan.h"
#include "backend/panel_gemm.h"
#include "backend/panel_loss.h"
#include "backend/panel_ops.h"
#include "backend/slabs.h"
#include "backend/sparse_layer.h"

namespace lockstep {
namespace {

// Slabs that are multiples of this leave no low tiles (12 x 2 or 6 x 2 vectors).
constexpr int64_t kTileUnits = 12;

int64_t tile_rows(const TensorSpec& weight) {
  return weight.transposed ? kQuad : kTileUnits;
}

// Row-major rows for whole panels of samples.
class Rows {
 public:
  Rows() = default;
  Rows(int64_t samples, int64_t columns)
      : columns_(columns), data_(panels_of(samples) * kPanelSamples * spread_stride(columns)) {}
  // `count` rows from row `first` on.
  Matrix view(int64_t first, int64_t count) {
    const int64_t stride = spread_stride(columns_);
    return {data_.data() + first * stride, count, columns_, stride};
  }

 private:
  int64_t columns_ = 0;
  Buffer<float> data_;
};

class PanelBuffer {
 public:
  PanelBuffer() = default;
  PanelBuffer(int64_t samples, int64_t features)
      : features_(features), data_(panels_of(samples) * panel_floats(features)) {}
  // The panels of `samples` samples from sample `first`, a panel's first, on.
  Panels view(int64_t first, int64_t samples) {
    const int64_t stride = panel_floats(features_);
    return {data_.data() + first / kPanelSamples * stride, samples, features_, stride};
  }

 private:
  int64_t features_ = 0;
  Buffer<float> data_;
};

// Samples that go through all layers together, forward and back: as many panels of the widest
// layer as leave the second-level cache half free.
int64_t group_samples(const Model& model, const MlpPlan& plan, int64_t capacity) {
  constexpr int64_t kCacheFloats = (int64_t{512} << 10) / sizeof(float);
  int64_t widest = model.inputs;
  for (const LinearStage& stage : plan.stages) widest = std::max(widest, stage.outputs);
  const int64_t fitting = kCacheFloats / panel_floats(widest);
  return std::min(std::clamp<int64_t>(fitting, 1, 8), panels_of(capacity)) * kPanelSamples;
}

class PanelStep final : public CpuStep, public SharedPanelStep {
 public:
  PanelStep(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
            const StepMemory& memory, const StepOptions& options)
      : CpuStep(layout, memory, options),
        plan_(plan_mlp(model)),
        scaling_(normalization, model.inputs),
        capacity_(part_capacity(options)),
        group_(group_samples(model, plan_, capacity_)),
        seed_(options.seed),
        input_(capacity_, model.inputs) {
    for (const LinearStage& stage : plan_.stages) {
      const TensorSpec& weight = layout.weight(stage.layer);
      const std::vector<Slab>& slabs =
          slabs_.emplace_back(slabs_of(weight, slab_floats(options), tile_rows(weight)));
      const UnitRange largest = slabs.front().units;
      slab_size_ = std::max({slab_size_, largest.size() * weight.columns(), stage.outputs});
      slab_units_.push_back(largest.size());
      gradients_.emplace_back(capacity_, stage.outputs);
      add_pieces(slabs_.size() - 1);
      if (&stage == &plan_.stages.back()) break;
      outputs_.emplace_back(capacity_, stage.outputs);
      output_panels_.emplace_back(group_, stage.outputs);
    }
    const LinearStage& first = plan_.stages.front();
    if (layout.weight(first.layer).transposed) {
      sparse_.emplace(first.inputs, first.outputs, group_, slab_units_.front());
      first_outputs_ = Rows(group_, first.outputs);
      first_gradients_ = Rows(capacity_, first.outputs);
    } else {
      input_panels_ = PanelBuffer(group_, model.inputs);
    }
  }

  // Gradients of a slab at a time, applied while they are in cache.
  BatchMetrics train(const Batch& batch, const UpdateScalars& scalars) override {
    if (parts() > 1) return CpuStep::train(batch, scalars);
    const BatchMetrics metrics = compute_factors(batch);
    FactorStep* const self = this;
    update_from_factors({&self, 1}, 0, ShareSum::chain, scalars);
    return metrics;
  }

  FactorStep* factor_step() override { return parts() == 1 ? this : nullptr; }

  BatchMetrics compute_factors(const Batch& share) override {
    clock_.start();
    const BatchMetrics metrics = propagate(share, nullptr);
    clock_.lap(seconds_.compute);
    return metrics;
  }

  void update_from_factors(std::span<FactorStep* const> steps, int rank, ShareSum sum,
                           const UpdateScalars& scalars) override {
    clock_.start();
    const auto workers = static_cast<int>(steps.size());
    if (slab_.empty()) slab_ = Buffer<float>(padded(slab_size_));
    for (size_t l = plan_.stages.size(); l-- > 0;) {
      collect_shares(steps, l);
      update_slice(l, rank, workers, sum, scalars);
    }
  }

  size_t pieces() const override { return pieces_.size(); }
  Range piece_range(size_t piece) const override { return pieces_[piece].slab.range; }

  void piece_gradient(size_t piece, std::span<FactorStep* const> steps, int rank,
                      float* gradients) override {
    const auto& [l, bias, slab] = pieces_[piece];
    collect_shares(steps, l);
    const int layer = plan_.stages[l].layer;
    const auto workers = static_cast<int>(steps.size());
    if (bias) {
      const IndexRange own = share_of({0, slab.units.end}, rank, workers);
      float* const db = gradients + layout_.bias(layer).offset;
      panel_bias_gradient(shares_, {own.begin, own.end}, ShareSum::chain, db + own.begin);
    } else {
      const TensorSpec& weight = layout_.weight(layer);
      const UnitRange own = rows_of(weight, slab.units, rank, workers);
      if (own.begin == own.end) return;
      float* const dw = gradients + weight.offset;
      weight_gradient(l, shares_, own, ShareSum::chain, dw + own.begin * weight.columns());
    }
  }

  FactorBytes factor_bytes() const override {
    FactorBytes bytes;
    for (const LinearStage& stage : plan_.stages) {
      bytes.inputs += samples_ * stage.inputs * static_cast<int64_t>(sizeof(float));
      bytes.gradients += samples_ * stage.outputs * static_cast<int64_t>(sizeof(float));
    }
    return bytes;
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const StepSeconds trained = seconds_;
    BatchMetrics metrics;
    for (int64_t first = 0; first < batch.size(); first += group_) {
      const Batch part = slice_of_batch(batch, first, std::min(group_, batch.size() - first));
      gather_rows(part);
      const Panels output = forward(part, 0, Mode::evaluate);
      metrics += panel_loss(plan_.loss, part, output);
      if (!logits.empty()) copy_logits(output, logits.data() + first * output.features);
    }
    seconds_ = trained;
    return metrics;
  }

 protected:
  BatchMetrics propagate(const Batch& part, float*) override {
    samples_ = part.size();
    gather_rows(part);
    if (plan_.input_dropout.present()) {
      apply_dropout(dropout_of(plan_.input_dropout, part.epoch), part, input_.view(0, samples_));
    }
    BatchMetrics metrics;
    for (int64_t first = 0; first < samples_; first += group_) {
      const Batch group = slice_of_batch(part, first, std::min(group_, samples_ - first));
      const Panels logits = forward(group, first, Mode::train);
      metrics += panel_loss_backward(plan_.loss, group, logits);
      backward(group, first);
    }
    return metrics;
  }

  void weight_gradients(float* gradients, const RangeSink& done) override {
    FactorStep* const self = this;
    for (size_t i = 0; i < pieces(); ++i) {
      piece_gradient(i, {&self, 1}, 0, gradients);
      if (!piece_range(i).empty()) done(piece_range(i));
    }
  }

 private:
  enum class Mode { train, evaluate };

  DropoutKey dropout_of(const DropoutSpec& spec, uint32_t epoch) const {
    return dropout_key(seed_, spec.layer, epoch, spec.p);
  }

  LayerEnd end_of(const LinearStage& stage, uint32_t epoch, Mode mode) const {
    LayerEnd end{stage.activation, {}};
    if (mode == Mode::train && stage.dropout.present()) {
      end.dropout = dropout_of(stage.dropout, epoch);
    }
    return end;
  }

  LinearWeights weights(const LinearStage& stage) const {
    return {values(layout_.weight(stage.layer).offset), values(layout_.bias(stage.layer).offset),
            stage.outputs, stage.inputs};
  }

  // What stage `l`'s weight gradient is the product of, over the part in hand.
  LayerFactors factors(size_t l) {
    return {gradients_[l].view(0, samples_),
            l == 0 ? input_.view(0, samples_) : outputs_[l - 1].view(0, samples_),
            l == 0 && sparse_ ? first_gradients_.view(0, samples_) : Matrix{}};
  }

  // Some stored rows of stage `l`'s weight gradient: units, or inputs of a sparse stage.
  void weight_gradient(size_t l, std::span<const LayerFactors> shares, UnitRange rows, ShareSum sum,
                       float* dw) {
    if (l == 0 && sparse_) {
      sparse_->weight_gradient(shares, {rows.begin, rows.end}, sum, dw);
    } else {
      panel_weight_gradient(shares, rows, sum, dw);
    }
  }

  // Part of a stage's gradient that is computed at a time: its bias, or a slab of its weight.
  struct Piece {
    size_t stage;
    bool bias;
    Slab slab;
  };

  // In front of those of the stages before `l`, which are ready later.
  void add_pieces(size_t l) {
    const LinearStage& stage = plan_.stages[l];
    std::vector<Piece> added;
    added.push_back({l, true, {{0, stage.outputs}, layout_.bias(stage.layer).range()}});
    for (const Slab& slab : slabs_[l]) added.push_back({l, false, slab});
    pieces_.insert(pieces_.begin(), added.begin(), added.end());
  }

  // Everybody's factors of stage `l`, into shares_.
  void collect_shares(std::span<FactorStep* const> steps, size_t l) {
    shares_.clear();
    for (FactorStep* step : steps) shares_.push_back(static_cast<PanelStep*>(step)->factors(l));
  }

  // Gradient and update of slice `rank` of stage `l`, from shares_.
  void update_slice(size_t l, int rank, int workers, ShareSum sum, const UpdateScalars& scalars) {
    const LinearStage& stage = plan_.stages[l];
    const IndexRange units = share_of({0, stage.outputs}, rank, workers);
    panel_bias_gradient(shares_, {units.begin, units.end}, sum, slab_.data());
    clock_.lap(seconds_.compute);
    const size_t bias = layout_.bias(stage.layer).offset;
    apply({bias + units.begin, bias + units.end}, slab_.data(), scalars);
    clock_.lap(seconds_.update);
    const TensorSpec& weight = layout_.weight(stage.layer);
    const UnitRange rows = rows_of(weight, {0, weight.rows()}, rank, workers);
    for (int64_t begin = rows.begin; begin < rows.end; begin += slab_units_[l]) {
      const int64_t end = std::min(begin + slab_units_[l], rows.end);
      weight_gradient(l, shares_, {begin, end}, sum, slab_.data());
      clock_.lap(seconds_.compute);
      apply({weight.offset + begin * weight.columns(), weight.offset + end * weight.columns()},
            slab_.data(), scalars);
      clock_.lap(seconds_.update);
    }
  }

  // Of some stored rows of a weight, those that belong to slice `rank`.
  static UnitRange rows_of(const TensorSpec& weight, UnitRange rows, int rank, int workers) {
    const int64_t step = weight.transposed ? kQuad : 1;
    const IndexRange steps = share_of({0, (rows.size() + step - 1) / step}, rank, workers);
    return {rows.begin + steps.begin * step, std::min(rows.begin + steps.end * step, rows.end)};
  }

  void gather_rows(const Batch& part) {
    const Matrix rows = input_.view(0, part.size());
    clock_.lap(seconds_.compute);
    gather(part, scaling_, rows.data, rows.stride);
    clock_.lap(seconds_.data);
  }

  // Through all layers; `first` is the group's first sample within the part. Returns the logits,
  // in the panels of their gradient.
  Panels forward(const Batch& group, int64_t first, Mode mode) {
    const int64_t size = group.size();
    Panels x;
    for (size_t l = 0; l < plan_.stages.size(); ++l) {
      const LinearStage& stage = plan_.stages[l];
      const bool last = l + 1 == plan_.stages.size();
      const Panels y = last ? gradients_[l].view(first, size) : output_panels_[l].view(0, size);
      if (l == 0) {
        first_layer(input_.view(first, size), y);
      } else {
        panel_forward(weights(stage), x, y);
      }
      const Matrix rows = last || mode == Mode::evaluate ? Matrix{} : outputs_[l].view(first, size);
      finish_layer(end_of(stage, group.epoch, mode), group, y, rows);
      x = y;
    }
    return x;
  }

  void first_layer(Matrix inputs, Panels y) {
    const LinearWeights w = weights(plan_.stages.front());
    if (sparse_) {
      const Matrix rows = first_outputs_.view(0, inputs.rows);
      sparse_->forward(w, inputs, rows);
      rows_to_panels(rows, y);
    } else {
      const Panels x = input_panels_.view(0, inputs.rows);
      rows_to_panels(inputs, x);
      panel_forward(w, x, y);
    }
  }

  void backward(const Batch& group, int64_t first) {
    const int64_t size = group.size();
    for (size_t l = plan_.stages.size() - 1; l > 0; --l) {
      const LinearStage& below = plan_.stages[l - 1];
      const Panels dx = gradients_[l - 1].view(first, size);
      panel_input_gradient(weights(plan_.stages[l]), gradients_[l].view(first, size), dx);
      finish_layer_backward(end_of(below, group.epoch, Mode::train), group,
                            output_panels_[l - 1].view(0, size), dx);
    }
    if (sparse_) {
      panels_to_rows(gradients_[0].view(first, size), first_gradients_.view(first, size));
    }
  }

  static void copy_logits(ConstPanels panels, float* logits) {
    for (int64_t i = 0; i < panels.samples; ++i) {
      const float* lane = panels.panel(i / kPanelSamples) + i % kPanelSamples;
      for (int64_t j = 0; j < panels.features; ++j) {
        logits[i * panels.features + j] = lane[j * kPanelSamples];
      }
    }
  }

  MlpPlan plan_;
  FeatureScaling scaling_;
  int64_t capacity_;  // samples of a part
  int64_t group_;     // samples that pass through the layers together
  uint64_t seed_;
  int64_t samples_ = 0;  // of the part in hand
  Rows input_;
  PanelBuffer input_panels_;           // of a group
  std::optional<SparseLayer> sparse_;  // the first stage, where its weight is [inputs, outputs]
  Rows first_outputs_;                 // its outputs, of a group
  Rows first_gradients_;               // their gradients
  std::vector<Rows> outputs_;          // of each stage but the last, after its LayerEnd
  std::vector<PanelBuffer> output_panels_;  // the same, of a group
  std::vector<PanelBuffer> gradients_;      // of each stage's output before its LayerEnd
  std::vector<std::vector<Slab>> slabs_;    // of each stage's weight
  std::vector<Piece> pieces_;               // of all stages, in the order of their reports
  std::vector<int64_t> slab_units_;         // of each stage's largest slab
  int64_t slab_size_ = 0;                   // floats of the largest slab
  Buffer<float> slab_;                      // gradients of one, where none are kept
  std::vector<LayerFactors> shares_;        // of the stage in hand
};

}  // namespace

std::unique_ptr<Step> make_panel_step(const Model& model, const ParameterLayout& layout,
                                      const Normalization& normalization, const StepMemory& memory,
                                      const StepOptions& options) {
  return std::make_unique<PanelStep>(model, layout, normalization, memory, options);
}

SharedPanelStep* shared_panel_step(Step& step) {
  return static_cast<PanelStep*>(&step);
}

size_t panel_step_workspace_bytes(const Model& model, const ParameterLayout& layout,
                                  const StepOptions& options) {
  const MlpPlan plan = plan_mlp(model);
  const int64_t capacity = CpuStep::part_capacity(options);
  const int64_t group = group_samples(model, plan, capacity);
  int64_t floats = panels_of(capacity) * kPanelSamples * spread_stride(model.inputs);
  for (const LinearStage& stage : plan.stages) {
    floats += panels_of(capacity) *
                  (panel_floats(stage.outputs) + kPanelSamples * spread_stride(stage.outputs)) +
              panels_of(group) * panel_floats(stage.outputs);
  }
  const LinearStage& first = plan.stages.front();
  const TensorSpec& weight = layout.weight(first.layer);
  if (!weight.transposed) {
    floats += panels_of(group) * panel_floats(model.inputs);
    return floats * sizeof(float);
  }
  const int64_t slab = slabs_of(weight, CpuStep::slab_floats(options), kQuad).front().units.size();
  floats += (panels_of(group) + panels_of(capacity)) * kPanelSamples * spread_stride(first.outputs);
  return floats * sizeof(float) +
         SparseLayer::workspace_bytes(first.inputs, first.outputs, group, slab);
}

}  // namespace lockstep
