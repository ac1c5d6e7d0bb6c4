// The compiled step against the float64 oracle, and the contracts of lockstep/backend.h.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/gemm.h"
#include "backend/simd_targets.h"
#include "backend/step_fixtures.h"
#include "lockstep/error.h"
#include "reference/optimizer.h"

namespace lockstep {
namespace {

using testing::Compiled;
using testing::expect_close;
using testing::for_each_target;
using testing::Job;
using testing::optimizers;
using testing::options_for;
using testing::Recorder;
using testing::Samples;
using testing::scaling_for;
using testing::scattered;

class EveryStep : public ::testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    if (bf16() && !bf16_available()) GTEST_SKIP() << "this CPU has no bf16 instructions";
  }
  bool bf16() const { return GetParam() == Precision::bf16; }
  std::vector<Job> jobs() const {
    std::vector<Job> all = testing::jobs(GetParam());
    if (!bf16()) {
      for (Job& job : testing::image_jobs()) all.push_back(std::move(job));
    }
    return all;
  }
  StepOptions options(int64_t max_batch) const { return options_for(max_batch, GetParam()); }
  // A sum that rounds otherwise than the oracle's may turn an operand to its neighbour.
  double tolerance(double fp32, double bf16_too) const { return bf16() ? bf16_too : fp32; }
};

INSTANTIATE_TEST_SUITE_P(Precisions, EveryStep, ::testing::Values(Precision::fp32, Precision::bf16),
                         [](const auto& p) {
                           return p.param == Precision::bf16 ? "bf16" : "fp32";
                         });

TEST_P(EveryStep, GradientsMatchTheOracle) {
  for_each_target([&] {
    for (const Job& job : jobs()) {
      SCOPED_TRACE(job.name);
      const Samples samples(job.type, 80, job.model.inputs, std::max(job.model.classes, 2));
      for (const int64_t rows : {1, 7, 16, 33, 61}) {
        Compiled compiled(job.model, scaling_for(job), options(61));
        const std::vector<int64_t> picked = scattered(rows, 80);
        for (const Batch& batch : {samples.pick(picked, 3), samples.range(5, 5 + rows, 3)}) {
          const reference::Result expected = compiled.oracle(batch, compiled.values64());
          Recorder recorder(compiled);
          const BatchMetrics metrics = compiled.step->gradients(batch, recorder);
          EXPECT_NEAR(metrics.loss, expected.loss,
                      tolerance(1e-4, 1e-3) + tolerance(1e-5, 1e-4) * expected.loss);
          EXPECT_EQ(metrics.correct, expected.correct);
          EXPECT_EQ(metrics.count, rows);
          expect_close(compiled.layout, recorder.finished(), expected.gradients,
                       tolerance(2e-5, 1e-3));
        }
      }
    }
  });
}

TEST_P(EveryStep, SlabsAreNoLargerThanAskedAndCoverEverything) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 40, job.model.inputs, std::max(job.model.classes, 2));
    std::vector<float> whole;
    for (const size_t slab_bytes : {size_t{1} << 30, size_t{128}, size_t{256}, size_t{1000}}) {
      StepOptions options = EveryStep::options(40);
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

TEST_P(EveryStep, NobodyReadsWeightsAfterTheyAreReleased) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 40, job.model.inputs, std::max(job.model.classes, 2));
    Compiled a(job.model, scaling_for(job), options(40));
    Compiled b(job.model, scaling_for(job), options(40));
    Recorder calm(a), ruinous(b);
    ruinous.ruin_weights = true;
    a.step->gradients(samples.range(0, 33), calm);
    b.step->gradients(samples.range(0, 33), ruinous);
    EXPECT_EQ(calm.finished(), ruinous.finished());
  }
}

TEST_P(EveryStep, SeveralStepsOfTrainingFollowTheOracle) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    // Adam makes whole steps of the rounding of gradients near zero, which many weights have.
    if (job.model.inputs > 100) continue;
    const Samples samples(job.type, 64, job.model.inputs, std::max(job.model.classes, 2));
    for (const OptimizerConfig& optimizer : optimizers()) {
      StepOptions options = EveryStep::options(16);
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
      expect_close(compiled.layout, compiled.values32(), expected, tolerance(1e-4, 1e-3));
    }
  }
}

TEST_P(EveryStep, TrainHasTheBitsOfGradientsAndUpdate) {
  for_each_target([&] {
    for (const Job& job : jobs()) {
      SCOPED_TRACE(job.name);
      const Samples samples(job.type, 64, job.model.inputs, std::max(job.model.classes, 2));
      for (const OptimizerConfig& optimizer : optimizers()) {
        for (const int accumulate : {1, 3}) {
          StepOptions options = EveryStep::options(19);
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
TEST_P(EveryStep, AccumulateIsTheLeftFoldOfTheParts) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 64, job.model.inputs, std::max(job.model.classes, 2));
    for (const int parts : {2, 3, 7}) {
      for (const int64_t rows : {23, 5}) {  // 5 samples leave some of 7 parts empty
        StepOptions options = EveryStep::options(rows);
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

TEST_P(EveryStep, AnEmptyBatchHasZeroGradientsAndStillReportsThem) {
  for (const Job& job : jobs()) {
    SCOPED_TRACE(job.name);
    const Samples samples(job.type, 8, job.model.inputs, std::max(job.model.classes, 2));
    Compiled compiled(job.model, scaling_for(job), options(8));
    Recorder before(compiled);
    compiled.step->gradients(samples.range(0, 8), before);
    Recorder recorder(compiled);
    const BatchMetrics metrics = compiled.step->gradients(samples.range(3, 3), recorder);
    EXPECT_EQ(metrics.count, 0);
    EXPECT_EQ(metrics.loss, 0.0);
    EXPECT_EQ(recorder.finished(), std::vector<float>(compiled.layout.size(), 0.0f));
  }
}

TEST_P(EveryStep, EvaluationHasNoDropoutAndGivesLogits) {
  for_each_target([&] {
    for (const Job& job : jobs()) {
      SCOPED_TRACE(job.name);
      const Samples samples(job.type, 50, job.model.inputs, std::max(job.model.classes, 2));
      StepOptions options = EveryStep::options(50);
      options.accumulate = 4;  // the working memory holds a part, evaluation takes the whole
      Compiled compiled(job.model, scaling_for(job), options);
      const Batch batch = samples.range(0, 50);
      const reference::Result expected =
          compiled.run_oracle(batch, compiled.values64(), reference::DropoutMode::off);
      std::vector<float> logits(expected.logits.data.size());
      const BatchMetrics metrics = compiled.step->evaluate(batch, logits);
      EXPECT_NEAR(metrics.loss, expected.loss,
                  tolerance(1e-4, 1e-3) + tolerance(1e-5, 1e-4) * expected.loss);
      EXPECT_EQ(metrics.correct, expected.correct);
      EXPECT_EQ(metrics.count, 50);
      for (size_t i = 0; i < logits.size(); ++i) {
        ASSERT_NEAR(logits[i], expected.logits.data[i], tolerance(2e-5, 1e-3));
      }
      EXPECT_EQ(compiled.step->evaluate(batch, {}).loss, metrics.loss);
    }
  });
}

TEST_P(EveryStep, PhasesAreTimedAndReset) {
  const Samples samples(FeatureType::float32, 64, 50, 10);
  StepOptions options = EveryStep::options(64);
  Compiled compiled(make_mlp(50, {64}, 10, 0.0), {}, options);
  compiled.step->train(samples.range(0, 64), update_scalars(options.optimizer, 0.1, 0, 64));
  const StepSeconds seconds = compiled.step->seconds();
  EXPECT_GT(seconds.compute, 0.0);
  compiled.step->reset_seconds();
  EXPECT_EQ(compiled.step->seconds().compute, 0.0);
  EXPECT_EQ(compiled.step->seconds().data, 0.0);
}

TEST(Compile, TensorFloatIsRefusedWithARemedy) {
  const StepOptions options = options_for(4, Precision::tf32);
  try {
    Compiled compiled(make_logistic(3, 2), {}, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_FALSE(error.remedy().empty());
  }
}

TEST(Compile, ModelsThatCannotRunAreRefused) {
  Model model = make_mlp(4, {5}, 3, 0.0);
  std::get<Linear>(model.layers[1]).inputs = 6;
  EXPECT_THROW(Compiled(model, {}, options_for(4, Precision::fp32)), Error);
  Model twice = make_mlp(4, {5}, 3, 0.5);
  twice.layers.insert(twice.layers.begin() + 1, Dropout{0.5});
  EXPECT_THROW(Compiled(twice, {}, options_for(4, Precision::fp32)), Error);
}

}  // namespace
}  // namespace lockstep
