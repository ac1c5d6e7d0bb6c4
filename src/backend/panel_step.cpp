#include "backend/panel_step.h"

#include <algorithm>
#include <vector>

#include "backend/cpu_step.h"
#include "backend/panel_loss.h"
#include "backend/panel_network.h"
#include "backend/slabs.h"

namespace lockstep {
namespace {

// Slabs that are multiples of this leave no low tiles (12 x 2 or 6 x 2 vectors).
constexpr int64_t kTileUnits = 12;

int64_t tile_rows(const TensorSpec& weight) {
  return weight.transposed ? kQuad : kTileUnits;
}

// Of the largest slab of the first layer, where that skips zero inputs; else 0.
int64_t sparse_units(const Model& model, const ParameterLayout& layout,
                     const StepOptions& options) {
  const TensorSpec& weight = layout.weight(plan_mlp(model).stages.front().layer);
  if (!weight.transposed) return 0;
  return slabs_of(weight, CpuStep::slab_floats(options), tile_rows(weight)).front().units.size();
}

class PanelStep final : public CpuStep, public SharedPanelStep {
 public:
  PanelStep(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
            const StepMemory& memory, const StepOptions& options)
      : CpuStep(layout, memory, options),
        network_(model, layout, normalization, memory.values.data(), part_capacity(options),
                 options.seed, sparse_units(model, layout, options)) {
    for (const LinearStage& stage : plan().stages) {
      const TensorSpec& weight = layout.weight(stage.layer);
      const std::vector<Slab>& slabs =
          slabs_.emplace_back(slabs_of(weight, slab_floats(options), tile_rows(weight)));
      const UnitRange largest = slabs.front().units;
      slab_size_ = std::max({slab_size_, largest.size() * weight.columns(), stage.outputs});
      slab_units_.push_back(largest.size());
      add_pieces(slabs_.size() - 1);
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
    clock_.computing(TracePhase::propagate, seconds_.compute);
    const BatchMetrics metrics = propagate(share, nullptr);
    clock_.lap(seconds_.compute);
    return metrics;
  }

  void update_from_factors(std::span<FactorStep* const> steps, int rank, ShareSum sum,
                           const UpdateScalars& scalars) override {
    clock_.start();
    clock_.computing(TracePhase::backward, seconds_.compute);
    const auto workers = static_cast<int>(steps.size());
    if (slab_.empty()) slab_ = Buffer<float>(padded(slab_size_));
    for (size_t l = plan().stages.size(); l-- > 0;) {
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
    const int layer = plan().stages[l].layer;
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
      network_.weight_gradient(l, shares_, own, ShareSum::chain, dw + own.begin * weight.columns());
    }
  }

  FactorBytes factor_bytes() const override {
    FactorBytes bytes;
    for (const LinearStage& stage : plan().stages) {
      bytes.inputs += samples_ * stage.inputs * static_cast<int64_t>(sizeof(float));
      bytes.gradients += samples_ * stage.outputs * static_cast<int64_t>(sizeof(float));
    }
    return bytes;
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const StepSeconds trained = seconds_;
    BatchMetrics metrics;
    for (int64_t first = 0; first < batch.size(); first += network_.group()) {
      const Batch part =
          slice_of_batch(batch, first, std::min(network_.group(), batch.size() - first));
      gather_rows(part);
      const Panels output = network_.forward(part, 0, PanelNetwork::Mode::evaluate);
      metrics += panel_loss(plan().loss, part, output);
      if (!logits.empty()) panels_to_rows(output, logits.data() + first * output.features);
    }
    seconds_ = trained;
    return metrics;
  }

 protected:
  BatchMetrics propagate(const Batch& part, float*) override {
    samples_ = part.size();
    gather_rows(part);
    network_.drop_inputs(part);
    BatchMetrics metrics;
    for (int64_t first = 0; first < samples_; first += network_.group()) {
      const Batch group = slice_of_batch(part, first, std::min(network_.group(), samples_ - first));
      const Panels logits = network_.forward(group, first, PanelNetwork::Mode::train);
      metrics += panel_loss_backward(plan().loss, group, logits);
      network_.backward(group, first);
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
  const MlpPlan& plan() const { return network_.plan(); }

  LayerFactors factors(size_t l) { return network_.factors(l, samples_); }

  // Part of a stage's gradient that is computed at a time: its bias, or a slab of its weight.
  struct Piece {
    size_t stage;
    bool bias;
    Slab slab;
  };

  // In front of those of the stages before `l`, which are ready later.
  void add_pieces(size_t l) {
    const LinearStage& stage = plan().stages[l];
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
    const LinearStage& stage = plan().stages[l];
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
      const Range slab{weight.offset + begin * weight.columns(),
                       weight.offset + end * weight.columns()};
      network_.weight_gradient(l, shares_, {begin, end}, sum, slab_.data());
      clock_.lap(seconds_.compute, slab);
      apply(slab, slab_.data(), scalars);
      clock_.lap(seconds_.update, slab);
    }
  }

  // Of some stored rows of a weight, those that belong to slice `rank`.
  static UnitRange rows_of(const TensorSpec& weight, UnitRange rows, int rank, int workers) {
    const int64_t step = weight.transposed ? kQuad : 1;
    const IndexRange steps = share_of({0, (rows.size() + step - 1) / step}, rank, workers);
    return {rows.begin + steps.begin * step, std::min(rows.begin + steps.end * step, rows.end)};
  }

  void gather_rows(const Batch& part) {
    clock_.lap(seconds_.compute);
    network_.gather_rows(part);
    clock_.lap(seconds_.data);
  }

  PanelNetwork network_;
  int64_t samples_ = 0;                   // of the part in hand
  std::vector<std::vector<Slab>> slabs_;  // of each stage's weight
  std::vector<Piece> pieces_;             // of all stages, in the order of their reports
  std::vector<int64_t> slab_units_;       // of each stage's largest slab
  int64_t slab_size_ = 0;                 // floats of the largest slab
  Buffer<float> slab_;                    // gradients of one, where none are kept
  std::vector<LayerFactors> shares_;      // of the stage in hand
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
  return PanelNetwork::bytes(model, layout, CpuStep::part_capacity(options),
                             sparse_units(model, layout, options));
}

}  // namespace lockstep
