// The compiled step against the float64 oracle, and the contracts of lockstep/backend.h.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"
#include "lockstep/backend.h"
#include "lockstep/error.h"
#include "lockstep/parameters.h"
#include "reference/network.h"
#include "reference/optimizer.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::normals;
using testing::Samples;
using testing::scattered;

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
    return reference::run(model, layout, at, batch, normalization, reference::DropoutMode::on,
                          options.seed);
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
void expect_close(const ParameterLayout& layout, const std::vector<float>& actual,
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

StepOptions options_for(int64_t max_batch) {
  StepOptions options;
  options.max_batch = max_batch;
  options.seed = 77;
  return options;
}

struct Job {
  const char* name;
  Model model;
  FeatureType type;
};

std::vector<Job> jobs() {
  Model linear_dropout;
  linear_dropout.kind = "mlp";
  linear_dropout.inputs = 9;
  linear_dropout.classes = 3;
  linear_dropout.layers = {Dropout{0.1}, Linear{9, 12, Activation::none}, Dropout{0.5},
                           Linear{12, 3, Activation::none}};
  return {
      {"logistic", make_logistic(20, 2), FeatureType::float32},
      {"logistic bytes", make_logistic(37, 2), FeatureType::uint8},
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
  };
}

Normalization scaling_for(const Job& job) {
  return job.type == FeatureType::uint8 ? testing::unit_scaling()
                                        : testing::per_feature(job.model.inputs, 0.9f);
}

TEST(Step, GradientsMatchTheOracle) {
  for_each_target([] {
    for (const Job& job : jobs()) {
      SCOPED_TRACE(job.name);
      const Samples samples(job.type, 80, job.model.inputs, std::max(job.model.classes, 2));
      for (const int64_t rows : {1, 7, 16, 33, 61}) {
        Compiled compiled(job.model, scaling_for(job), options_for(61));
        const std::vector<int64_t> picked = scattered(rows, 80);
        for (const Batch& batch : {samples.pick(picked, 3), samples.range(5, 5 + rows, 3)}) {
          const reference::Result expected = compiled.oracle(batch, compiled.values64());
          Recorder recorder(compiled);
          const BatchMetrics metrics = compiled.step->gradients(batch, recorder);
          EXPECT_NEAR(metrics.loss, expected.loss, 1e-4 + 1e-5 * expected.loss);
          EXPECT_EQ(metrics.correct, expected.correct);
          EXPECT_EQ(metrics.count, rows);
          expect_close(compiled.layout, recorder.finished(), expected.gradients, 2e-5);
        }
      }
    }
  });
}

TEST(Step, SlabsAreNoLargerThanAskedAndCoverEverything) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 40, job.model.inputs, std::max(job.model.classes, 2));
    std::vector<float> whole;
    for (const size_t slab_bytes : {size_t{1} << 30, size_t{128}, size_t{256}, size_t{1000}}) {
      StepOptions options = options_for(40);
      options.slab_bytes = slab_bytes;
      Compiled compiled(job.model, scaling_for(job), options);
      Recorder recorder(compiled, slab_bytes);
      compiled.step->gradients(samples.range(0, 40), recorder);
      const std::vector<float> gradients = recorder.finished();
      if (whole.empty()) whole = gradients;
      EXPECT_EQ(gradients, whole) << "slabs of " << slab_bytes << " bytes have other bits";
      if (slab_bytes == 128) {
        EXPECT_EQ(recorder.reports, compiled.layout.size() / kPadFloats);
      }
    }
  }
}

TEST(Step, NobodyReadsWeightsAfterTheyAreReleased) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 40, job.model.inputs, std::max(job.model.classes, 2));
    Compiled a(job.model, scaling_for(job), options_for(40));
    Compiled b(job.model, scaling_for(job), options_for(40));
    Recorder calm(a), ruinous(b);
    ruinous.ruin_weights = true;
    a.step->gradients(samples.range(0, 33), calm);
    b.step->gradients(samples.range(0, 33), ruinous);
    EXPECT_EQ(calm.finished(), ruinous.finished());
  }
}

std::vector<OptimizerConfig> optimizers() {
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

TEST(Step, SeveralStepsOfTrainingFollowTheOracle) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 64, job.model.inputs, std::max(job.model.classes, 2));
    for (const OptimizerConfig& optimizer : optimizers()) {
      StepOptions options = options_for(16);
      options.optimizer = optimizer;
      Compiled compiled(job.model, scaling_for(job), options);
      std::vector<double> expected = compiled.values64();
      reference::OptimizerState state;
      for (int64_t k = 0; k < 4; ++k) {
        const Batch batch = samples.range(16 * k, 16 * (k + 1), 1);
        const reference::Result result = compiled.oracle(batch, expected);
        reference::update(optimizer, k, 16, result.gradients, expected, state);
        compiled.step->train(batch, update_scalars(optimizer, optimizer.learning_rate, k, 16));
      }
      expect_close(compiled.layout, compiled.values32(), expected, 1e-4);
    }
  }
}

TEST(Step, TrainHasTheBitsOfGradientsAndUpdate) {
  for_each_target([] {
    for (const Job& job : jobs()) {
      SCOPED_TRACE(job.name);
      const Samples samples(job.type, 64, job.model.inputs, std::max(job.model.classes, 2));
      for (const OptimizerConfig& optimizer : optimizers()) {
        for (const int accumulate : {1, 3}) {
          StepOptions options = options_for(19);
          options.optimizer = optimizer;
          options.accumulate = accumulate;
          Compiled fused(job.model, scaling_for(job), options);
          Compiled apart(job.model, scaling_for(job), options);
          for (int64_t k = 0; k < 3; ++k) {
            const Batch batch = samples.range(19 * k, 19 * (k + 1), 2);
            const UpdateScalars scalars = update_scalars(optimizer, optimizer.learning_rate, k, 19);
            const BatchMetrics a = fused.step->train(batch, scalars);
            Recorder recorder(apart);
            const BatchMetrics b = apart.step->gradients(batch, recorder);
            const size_t middle = apart.layout.size() / 2 / kPadFloats * kPadFloats;
            apart.step->update({middle, apart.layout.size()}, scalars);
            apart.step->update({0, middle}, scalars);
            EXPECT_EQ(a.loss, b.loss);
          }
          EXPECT_EQ(fused.values32(), apart.values32());
          EXPECT_EQ(fused.state32(), apart.state32());
        }
      }
    }
  });
}

// What `sync` on N workers relies on: the parts are complete gradients, added left to right.
TEST(Step, AccumulateIsTheLeftFoldOfTheParts) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 64, job.model.inputs, std::max(job.model.classes, 2));
    for (const int parts : {2, 3, 7}) {
      for (const int64_t rows : {23, 5}) {  // 5 samples leave some of 7 parts empty
        StepOptions options = options_for(rows);
        Compiled single(job.model, scaling_for(job), options);
        options.accumulate = parts;
        Compiled together(job.model, scaling_for(job), options);
        std::vector<float> sum;
        BatchMetrics expected;
        for (int i = 0; i < parts; ++i) {
          const IndexRange share = share_of({0, rows}, i, parts);
          Recorder recorder(single);
          expected += single.step->gradients(samples.range(share.begin, share.end, 4), recorder);
          const std::vector<float> part = recorder.finished();
          if (sum.empty()) {
            sum = part;
          } else {
            for (size_t k = 0; k < sum.size(); ++k) sum[k] += part[k];
          }
        }
        Recorder recorder(together);
        const BatchMetrics metrics = together.step->gradients(samples.range(0, rows, 4), recorder);
        EXPECT_EQ(recorder.finished(), sum);
        EXPECT_EQ(metrics.loss, expected.loss);
        EXPECT_EQ(metrics.correct, expected.correct);
        EXPECT_EQ(metrics.count, rows);
      }
    }
  }
}

TEST(Step, AnEmptyBatchHasZeroGradientsAndStillReportsThem) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 8, job.model.inputs, std::max(job.model.classes, 2));
    Compiled compiled(job.model, scaling_for(job), options_for(8));
    Recorder before(compiled);
    compiled.step->gradients(samples.range(0, 8), before);
    Recorder recorder(compiled);
    const BatchMetrics metrics = compiled.step->gradients(samples.range(3, 3), recorder);
    EXPECT_EQ(metrics.count, 0);
    EXPECT_EQ(metrics.loss, 0.0);
    EXPECT_EQ(recorder.finished(), std::vector<float>(compiled.layout.size(), 0.0f));
  }
}

TEST(Step, EvaluationHasNoDropoutAndGivesLogits) {
  for_each_target([] {
    for (const Job& job : jobs()) {
      SCOPED_TRACE(job.name);
      const Samples samples(job.type, 50, job.model.inputs, std::max(job.model.classes, 2));
      StepOptions options = options_for(50);
      options.accumulate = 4;  // the working memory holds a part, evaluation takes the whole
      Compiled compiled(job.model, scaling_for(job), options);
      const Batch batch = samples.range(0, 50);
      const reference::Result expected =
          reference::run(compiled.model, compiled.layout, compiled.values64(), batch,
                         compiled.normalization, reference::DropoutMode::off, 0);
      std::vector<float> logits(expected.logits.data.size());
      const BatchMetrics metrics = compiled.step->evaluate(batch, logits);
      EXPECT_NEAR(metrics.loss, expected.loss, 1e-4 + 1e-5 * expected.loss);
      EXPECT_EQ(metrics.correct, expected.correct);
      EXPECT_EQ(metrics.count, 50);
      for (size_t i = 0; i < logits.size(); ++i) {
        ASSERT_NEAR(logits[i], expected.logits.data[i], 2e-5);
      }
      EXPECT_EQ(compiled.step->evaluate(batch, {}).loss, metrics.loss);
    }
  });
}

TEST(Step, PhasesAreTimedAndReset) {
  const Samples samples(FeatureType::float32, 64, 50, 10);
  StepOptions options = options_for(64);
  Compiled compiled(make_mlp(50, {64}, 10, 0.0), {}, options);
  compiled.step->train(samples.range(0, 64), update_scalars(options.optimizer, 0.1, 0, 64));
  const StepSeconds seconds = compiled.step->seconds();
  EXPECT_GT(seconds.compute, 0.0);
  compiled.step->reset_seconds();
  EXPECT_EQ(compiled.step->seconds().compute, 0.0);
  EXPECT_EQ(compiled.step->seconds().data, 0.0);
}

TEST(Step, TensorFloatIsRefusedWithARemedy) {
  StepOptions options = options_for(4);
  options.precision = Precision::tf32;
  try {
    Compiled compiled(make_logistic(3, 2), {}, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_FALSE(error.remedy().empty());
  }
}

TEST(Step, ModelsThatCannotRunAreRefused) {
  Model model = make_mlp(4, {5}, 3, 0.0);
  std::get<Linear>(model.layers[1]).inputs = 6;
  EXPECT_THROW(Compiled(model, {}, options_for(4)), Error);
  Model twice = make_mlp(4, {5}, 3, 0.5);
  twice.layers.insert(twice.layers.begin() + 1, Dropout{0.5});
  EXPECT_THROW(Compiled(twice, {}, options_for(4)), Error);
}

}  // namespace
}  // namespace lockstep
