#include "backend/bf16_stage.h"

#include <algorithm>

namespace lockstep {
namespace {

// A slab fits the second-level cache, is worth reading all the inputs again, and is cut where the
// tiles of the matrix instructions are.
constexpr size_t kSlabFloats = size_t{1} << 16;
constexpr int64_t kTileUnits = 32;

}  // namespace

Bf16Stage::Sizes::Sizes(const LinearStage& stage, Role role, int64_t capacity) {
  const int64_t summed = whole_blocks(capacity);
  const bool trains = role != Role::evaluate, inner = role == Role::inner;
  input = capacity * stage.inputs;
  weight_transposed = PairedLayout{stage.inputs, stage.outputs}.size();
  input_pairs = trains ? PairedLayout{summed, stage.inputs}.size() : 0;
  gradient_columns = trains ? (stage.outputs + 3) / 4 * 4 * summed : 0;
  bias_gradient = trains ? stage.outputs : 0;
  weight = inner ? PairedLayout{stage.outputs, stage.inputs}.size() : 0;
  gradient = inner ? capacity * stage.outputs : 0;
}

size_t Bf16Stage::bytes(const LinearStage& stage, Role role, int64_t capacity) {
  const Sizes sizes(stage, role, capacity);
  return sizeof(Bf16) * (sizes.input + sizes.input_pairs + sizes.weight_transposed + sizes.weight +
                         sizes.gradient + sizes.gradient_columns) +
         sizeof(float) * sizes.bias_gradient;
}

Bf16Stage::Bf16Stage(const LinearStage& stage, Role role, int64_t capacity,
                     const TensorSpec& tensor, const float* weight, const float* bias)
    : inputs_(stage.inputs),
      outputs_(stage.outputs),
      role_(role),
      master_(weight),
      bias_(bias),
      slabs_(slabs_of(tensor, kSlabFloats, kTileUnits)) {
  const Sizes sizes(stage, role, capacity);
  input_ = Buffer<Bf16>(sizes.input);
  input_pairs_ = Buffer<Bf16>(sizes.input_pairs);
  weight_transposed_ = Buffer<Bf16>(sizes.weight_transposed);
  weight_ = Buffer<Bf16>(sizes.weight);
  gradient_ = Buffer<Bf16>(sizes.gradient);
  gradient_columns_ = Buffer<Bf16>(sizes.gradient_columns);
  bias_gradient_ = Buffer<float>(sizes.bias_gradient);
}

void Bf16Stage::round_weights() {
  round_transposed(master_, {{inputs_, outputs_}, weight_transposed_.data()});
  if (role_ != Role::inner) return;
  const ConstMatrix rows{master_, outputs_, inputs_, inputs_};
  round_rows(rows, Activation::none, {nullptr, {{outputs_, inputs_}, weight_.data()}}, 0);
}

void Bf16Stage::start(int64_t samples) {
  samples_ = samples;
  std::fill(bias_gradient_.begin(), bias_gradient_.end(), 0.0f);
  if (role_ != Role::evaluate) clear_rows(input_pairs(), samples / 2 * 2);
}

RoundedRows Bf16Stage::input_rows() {
  return {input_.data(), role_ == Role::evaluate ? Paired{} : input_pairs()};
}

void Bf16Stage::set_input(ConstMatrix x, Activation activation, int64_t first) {
  round_rows(x, activation, input_rows(), first);
}

void Bf16Stage::set_input(const Batch& batch, const FeatureScaling& scaling) {
  round_features(batch, scaling, input_rows());
}

void Bf16Stage::forward(float* y) {
  const auto compile = [this] {
    std::vector<Product> products;
    products.emplace_back(ProductShape{samples_, inputs_, outputs_}, input_.data(),
                          weight_transposed_.data(), bias_);
    return products;
  };
  forward_.at(samples_, compile)[0].run(y);
}

void Bf16Stage::set_gradient(ConstMatrix dy, int64_t first, int64_t count) {
  if (role_ == Role::inner) {
    round_rows({dy.data, count, dy.columns, dy.stride}, Activation::none, {gradient_.data(), {}},
               first);
  }
  add_rows(dy, bias_gradient_.data());
  round_columns(dy, gradient_columns_.data() + first, summed_samples());
}

void Bf16Stage::input_gradient(float* dx) {
  const auto compile = [this] {
    std::vector<Product> products;
    products.emplace_back(ProductShape{samples_, outputs_, inputs_}, gradient_.data(),
                          weight_.data(), nullptr);
    return products;
  };
  input_gradient_.at(samples_, compile)[0].run(dx);
}

void Bf16Stage::weight_gradient(size_t slab, float* dw) {
  const auto compile = [this] { return compile_weight_gradient(); };
  weight_gradient_.at(samples_, compile)[slab].run(dw);
}

std::vector<Product> Bf16Stage::compile_weight_gradient() const {
  std::vector<Product> products;
  for (const Slab& slab : slabs_) {
    const ProductShape shape{slab.units.end - slab.units.begin, summed_samples(), inputs_};
    products.emplace_back(shape, gradient_columns_.data() + slab.units.begin * summed_samples(),
                          input_pairs_.data(), nullptr);
  }
  return products;
}

}  // namespace lockstep
