// A compiled step with everything that it borrows, what records its reports, and the jobs that the
// steps are tested on.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "backend/fixtures.h"
#include "lockstep/backend.h"
#include "lockstep/parameters.h"
#include "reference/network.h"

namespace lockstep::testing {

// Everything that a Step borrows, and the Step.
struct Compiled {
  Model model;
  ParameterLayout layout;
  Normalization normalization;
  Buffer<float> values, gradients, state;
  std::unique_ptr<Backend> backend = make_cpu_backend();
  std::unique_ptr<Step> step;
  StepOptions options;

  Compiled(const Model& m, const Normalization& n, const StepOptions& o)
      : model(m),
        layout(model),
        normalization(n),
        values(layout.size()),
        gradients(layout.size()),
        state(o.optimizer.state_count() * layout.size()),
        options(o) {
    for (const TensorSpec& tensor : layout.tensors()) {
      const float deviation = 1.0f / std::sqrt(static_cast<float>(tensor.shape.back()));
      const std::vector<float> drawn =
          normals(tensor.size, 100 + static_cast<uint32_t>(tensor.offset), deviation);
      std::copy(drawn.begin(), drawn.end(), values.data() + tensor.offset);
    }
    step = backend->compile(model, layout, normalization,
                            {values.span(), gradients.span(), state.span()}, options);
  }

  std::vector<double> values64() const { return {values.begin(), values.end()}; }
  std::vector<float> values32() const { return {values.begin(), values.end()}; }
  std::vector<float> state32() const { return {state.begin(), state.end()}; }

  reference::Result oracle(const Batch& batch, std::span<const double> at) const {
    return run_oracle(batch, at, reference::DropoutMode::on);
  }
  // The oracle rounds what the step rounds.
  reference::Result run_oracle(const Batch& batch, std::span<const double> at,
                               reference::DropoutMode dropout) const {
    return reference::run(model, layout, at, batch, normalization, dropout, options.seed,
                          options.precision == Precision::bf16 ? reference::Operands::bf16
                                                               : reference::Operands::exact);
  }
};

// Checks what backend.h promises about reports, and keeps the gradients as they were reported.
class Recorder : public GradientListener {
 public:
  explicit Recorder(Compiled& compiled, size_t slab_bytes = 0)
      : compiled_(compiled),
        slab_floats_(slab_bytes / sizeof(float)),
        next_(compiled.layout.size()),
        seen_(compiled.layout.size(), 0.0f) {}

  void released() override {
    EXPECT_EQ(releases_++, 0);
    EXPECT_EQ(next_, compiled_.layout.size()) << "released() comes before the first ready()";
    // Nobody reads the weights any more: ruining them may not matter.
    if (ruin_weights) std::fill(compiled_.values.begin(), compiled_.values.end(), 1e30f);
  }

  void ready(Range range) override {
    EXPECT_EQ(releases_, 1);
    EXPECT_FALSE(range.empty());
    EXPECT_EQ(range.begin % kPadFloats, 0u);
    EXPECT_EQ(range.end, next_) << "descending and adjacent";
    if (slab_floats_) {
      EXPECT_LE(range.size(), slab_floats_);
    }
    next_ = range.begin;
    std::copy_n(compiled_.gradients.data() + range.begin, range.size(), &seen_[range.begin]);
    ++reports;
  }

  // The gradients that were final when reported; fails where the buffer was not covered or changed.
  std::vector<float> finished() {
    EXPECT_EQ(releases_, 1);
    EXPECT_EQ(next_, 0u);
    const std::vector<float> at_end(compiled_.gradients.begin(), compiled_.gradients.end());
    EXPECT_EQ(seen_, at_end) << "a reported gradient changed later";
    return seen_;
  }

  bool ruin_weights = false;
  int reports = 0;

 private:
  Compiled& compiled_;
  size_t slab_floats_;
  int releases_ = 0;
  size_t next_;
  std::vector<float> seen_;
};

// Tensor by tensor, against the tensor's largest gradient: errors spread through the layers.
inline void expect_close(const ParameterLayout& layout, const std::vector<float>& actual,
                         std::span<const double> expected, double tolerance) {
  std::vector<bool> parameter(layout.size(), false);
  for (const TensorSpec& tensor : layout.tensors()) {
    double largest = 0.0;
    for (size_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      largest = std::max(largest, std::fabs(expected[i]));
      parameter[i] = true;
    }
    for (size_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance * largest + 1e-6)
          << tensor.name << " element " << i - tensor.offset;
    }
  }
  for (size_t i = 0; i < layout.size(); ++i) {
    if (!parameter[i]) {
      ASSERT_EQ(actual[i], 0.0f) << "padding at " << i;
    }
  }
}

inline StepOptions options_for(int64_t max_batch, Precision precision) {
  StepOptions options;
  options.max_batch = max_batch;
  options.precision = precision;
  options.seed = 77;
  return options;
}

struct Job {
  const char* name;
  Model model;
  FeatureType type;
};

// What this version trains in `precision`.
inline std::vector<Job> jobs(Precision precision) {
  Model linear_dropout;
  linear_dropout.kind = "mlp";
  linear_dropout.inputs = 9;
  linear_dropout.classes = 3;
  linear_dropout.layers = {Dropout{0.1}, Linear{9, 12, Activation::none}, Dropout{0.5},
                           Linear{12, 3, Activation::none}};
  std::vector<Job> jobs = {
      {"softmax regression", make_logistic(13, 5), FeatureType::float32},
      {"mlp", make_mlp(17, {23, 11}, 10, 0.0), FeatureType::float32},
      {"mlp bytes", make_mlp(49, {32, 16}, 10, 0.0), FeatureType::uint8},
      {"mlp dropout", make_mlp(17, {40, 33}, 7, 0.3), FeatureType::float32},
      {"one unit wide", make_mlp(1, {1, 1}, 2, 0.0), FeatureType::float32},
      {"linear dropout", linear_dropout, FeatureType::float32},
      {"binary mlp",
       [] {
         Model model = make_mlp(8, {19}, 2, 0.0);
         std::get<Linear>(model.layers.back()).outputs = 1;
         model.loss = Loss::binary_cross_entropy;
         return model;
       }(),
       FeatureType::float32},
      {"several slabs", make_mlp(300, {230}, 3, 0.0), FeatureType::uint8},
  };
  if (precision == Precision::fp32) {
    jobs.push_back({"logistic", make_logistic(20, 2), FeatureType::float32});
    jobs.push_back({"logistic bytes", make_logistic(37, 2), FeatureType::uint8});
  }
  return jobs;
}

// Networks that see images, in float32.
inline std::vector<Job> image_jobs() {
  const auto make = [](const char* layers, ImageShape image) {
    return make_layers(layers, image, image.size(), 4);
  };
  return {
      {"conv", make("conv 5 3, relu, flatten, linear 4", {3, 6, 7}), FeatureType::float32},
      {"cnn of bytes",
       make("conv 14 3, relu, maxpool 2, conv 7 3 pad 1, relu, maxpool 2, flatten, linear 9, relu, "
            "linear 4",
            {3, 11, 10}),
       FeatureType::uint8},
      {"strides and edges",
       make("conv 3 5 stride 2 pad 2, relu, conv 4 2x3 stride 2 pad 1, relu, conv 6 1, flatten, "
            "linear 4",
            {2, 11, 13}),
       FeatureType::float32},
      {"pools alone",
       make("maxpool 2 stride 1, conv 4 2, relu, avgpool 2, maxpool 3 stride 2, flatten, linear 4",
            {1, 14, 13}),
       FeatureType::float32},
      {"dropout of images",
       make("dropout 0.1, conv 6 3, relu, dropout 0.3, maxpool 2, conv 3 2, maxpool 2, relu, "
            "dropout 0.2, flatten, linear 8, relu, dropout 0.5, linear 4",
            {1, 12, 12}),
       FeatureType::float32},
      {"wide kernels", make("conv 13 4x9 pad 3, relu, maxpool 3, flatten, linear 4", {2, 8, 12}),
       FeatureType::float32},
      {"images to the end", make("conv 6 3, relu, maxpool 2, conv 4 3, flatten", {1, 8, 8}),
       FeatureType::float32},
  };
}

inline Normalization scaling_for(const Job& job) {
  return job.type == FeatureType::uint8 ? unit_scaling() : per_feature(job.model.inputs, 0.9f);
}

inline std::vector<OptimizerConfig> optimizers() {
  OptimizerConfig plain;
  plain.learning_rate = 0.05;
  OptimizerConfig momentum = plain;
  momentum.momentum = 0.9;
  momentum.weight_decay = 1e-3;
  OptimizerConfig nesterov = momentum;
  nesterov.nesterov = true;
  OptimizerConfig adam;
  adam.kind = OptimizerKind::adam;
  adam.learning_rate = 1e-2;
  adam.weight_decay = 1e-4;
  OptimizerConfig adamw = adam;
  adamw.kind = OptimizerKind::adamw;
  return {plain, momentum, nesterov, adam, adamw};
}

}  // namespace lockstep::testing
