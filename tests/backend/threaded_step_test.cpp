// Steps on several threads of one worker: the bits of one thread.
#include <gtest/gtest.h>

#include "backend/logistic_step.h"
#include "backend/step_fixtures.h"

namespace lockstep {
namespace {

using testing::Compiled;
using testing::expect_close;
using testing::Job;
using testing::jobs;
using testing::optimizers;
using testing::options_for;
using testing::Recorder;
using testing::Samples;
using testing::scaling_for;

constexpr int kThreadCounts[] = {2, 5};

std::vector<Job> networks() {
  std::vector<Job> networks;
  for (Job& job : jobs(Precision::fp32)) {
    if (!is_logistic(job.model)) networks.push_back(std::move(job));
  }
  return networks;
}

StepOptions threaded(StepOptions options, int threads) {
  options.threads = threads;
  options.spins = 100;
  return options;
}

Samples samples_for(const Job& job, int64_t rows) {
  return {job.type, rows, job.model.inputs, std::max(job.model.classes, 2)};
}

TEST(ThreadedStep, TrainHasTheBitsOfOneThreadWithEveryOptimizer) {
  for (const Job& job : networks()) {
    SCOPED_TRACE(job.name);
    const Samples samples = samples_for(job, 200);
    for (const OptimizerConfig& optimizer : optimizers()) {
      for (const int accumulate : {1, 3}) {
        StepOptions options = options_for(97, Precision::fp32);
        options.optimizer = optimizer;
        options.accumulate = accumulate;
        Compiled one(job.model, scaling_for(job), options);
        for (const int threads : kThreadCounts) {
          Compiled many(job.model, scaling_for(job), threaded(options, threads));
          Compiled reset(job.model, scaling_for(job), options);
          std::copy(reset.values.begin(), reset.values.end(), one.values.begin());
          std::fill(one.state.begin(), one.state.end(), 0.0f);
          // Whole panels, tails, fewer samples than threads, one, none.
          int64_t k = 0;
          for (const int64_t rows : {97, 64, 33, 5, 1, 0}) {
            const Batch batch = samples.range(3, 3 + rows, 2);
            const UpdateScalars scalars =
                update_scalars(optimizer, optimizer.learning_rate, k++, std::max<int64_t>(rows, 1));
            const BatchMetrics a = one.step->train(batch, scalars);
            const BatchMetrics b = many.step->train(batch, scalars);
            EXPECT_NEAR(a.loss, b.loss, 1e-12 * (1.0 + a.loss));
            EXPECT_EQ(a.correct, b.correct);
            EXPECT_EQ(a.count, b.count);
          }
          EXPECT_EQ(one.values32(), many.values32()) << threads << " threads";
          EXPECT_EQ(one.state32(), many.state32()) << threads << " threads";
        }
      }
    }
  }
}

TEST(ThreadedStep, GradientsHaveTheBitsOfOneThreadAndTheContractOfReports) {
  for (const Job& job : networks()) {
    SCOPED_TRACE(job.name);
    const Samples samples = samples_for(job, 120);
    for (const int accumulate : {1, 2}) {
      for (const size_t slab_bytes : {size_t{0}, size_t{256}, size_t{1} << 30}) {
        StepOptions options = options_for(101, Precision::fp32);
        options.accumulate = accumulate;
        options.slab_bytes = slab_bytes;
        Compiled one(job.model, scaling_for(job), options);
        for (const int threads : kThreadCounts) {
          Compiled many(job.model, scaling_for(job), threaded(options, threads));
          for (const int64_t rows : {101, 17, 1, 0}) {
            Recorder expected(one), recorder(many, slab_bytes);
            one.step->gradients(samples.range(0, rows, 1), expected);
            many.step->gradients(samples.range(0, rows, 1), recorder);
            EXPECT_EQ(recorder.finished(), expected.finished())
                << threads << " threads, " << rows << " rows";
            EXPECT_EQ(recorder.reports, expected.reports);
          }
        }
      }
    }
  }
}

TEST(ThreadedStep, NobodyReadsWeightsAfterTheyAreReleased) {
  for (const Job& job : networks()) {
    SCOPED_TRACE(job.name);
    const Samples samples = samples_for(job, 80);
    Compiled a(job.model, scaling_for(job), threaded(options_for(70, Precision::fp32), 3));
    Compiled b(job.model, scaling_for(job), threaded(options_for(70, Precision::fp32), 3));
    Recorder calm(a), ruinous(b);
    ruinous.ruin_weights = true;
    a.step->gradients(samples.range(0, 70), calm);
    b.step->gradients(samples.range(0, 70), ruinous);
    EXPECT_EQ(calm.finished(), ruinous.finished());
  }
}

// A listener may update what it is told of, as the strategies do.
TEST(ThreadedStep, AnUpdateFromAReportHasTheBitsOfTrain) {
  struct Updater final : GradientListener {
    void released() override {}
    void ready(Range range) override { step.update(range, scalars); }
    Updater(Step& s, const UpdateScalars& u) : step(s), scalars(u) {}
    Step& step;
    UpdateScalars scalars;
  };
  const Model model = make_mlp(300, {230}, 3, 0.0);
  const Samples samples(FeatureType::uint8, 80, 300, 3);
  StepOptions options = threaded(options_for(70, Precision::fp32), 3);
  options.optimizer = optimizers().back();
  Compiled fused(model, testing::unit_scaling(), options);
  Compiled apart(model, testing::unit_scaling(), options);
  const UpdateScalars scalars = update_scalars(options.optimizer, 0.01, 0, 70);
  Updater updater(*apart.step, scalars);
  fused.step->train(samples.range(0, 70), scalars);
  apart.step->gradients(samples.range(0, 70), updater);
  EXPECT_EQ(fused.values32(), apart.values32());
  EXPECT_EQ(fused.state32(), apart.state32());
}

TEST(ThreadedStep, EvaluationHasTheLogitsOfOneThread) {
  for (const Job& job : jobs(Precision::fp32)) {
    SCOPED_TRACE(job.name);
    const Samples samples = samples_for(job, 120);
    const StepOptions options = options_for(120, Precision::fp32);
    Compiled one(job.model, scaling_for(job), options);
    const int64_t outputs = std::get<Linear>(job.model.layers.back()).outputs;
    for (const int threads : kThreadCounts) {
      Compiled many(job.model, scaling_for(job), threaded(options, threads));
      for (const int64_t rows : {113, 16, 2, 0}) {
        const Batch batch = samples.range(2, 2 + rows);
        std::vector<float> expected(rows * outputs), logits(rows * outputs);
        const BatchMetrics a = one.step->evaluate(batch, expected);
        const BatchMetrics b = many.step->evaluate(batch, logits);
        EXPECT_EQ(logits, expected);
        EXPECT_NEAR(a.loss, b.loss, 1e-6 * (1.0 + a.loss));
        EXPECT_EQ(a.correct, b.correct);
        EXPECT_EQ(a.count, b.count);
        EXPECT_EQ(many.step->evaluate(batch, {}).loss, b.loss);
      }
    }
  }
}

// One chain a thread, added in their order: the same from run to run, near to one thread's.
TEST(ThreadedLogistic, FollowsOneThreadWithinRoundingAndRepeatsItself) {
  for (const Job& job : jobs(Precision::fp32)) {
    if (!is_logistic(job.model)) continue;
    SCOPED_TRACE(job.name);
    const Samples samples = samples_for(job, 120);
    for (const int accumulate : {1, 3}) {
      StepOptions options = options_for(101, Precision::fp32);
      options.accumulate = accumulate;
      for (const int threads : kThreadCounts) {
        Compiled many(job.model, scaling_for(job), threaded(options, threads));
        Compiled again(job.model, scaling_for(job), threaded(options, threads));
        for (const int64_t rows : {101, 17, 2, 1, 0}) {
          const Batch batch = samples.range(4, 4 + rows);
          const reference::Result oracle = many.oracle(batch, many.values64());
          Recorder recorder(many), repeated(again);
          const BatchMetrics metrics = many.step->gradients(batch, recorder);
          again.step->gradients(batch, repeated);
          EXPECT_EQ(metrics.count, rows);
          EXPECT_EQ(metrics.correct, oracle.correct);
          EXPECT_NEAR(metrics.loss, oracle.loss, 1e-4 + 1e-5 * oracle.loss);
          expect_close(many.layout, recorder.finished(), oracle.gradients, 2e-5);
          EXPECT_EQ(repeated.finished(), recorder.finished());
        }
      }
    }
  }
}

TEST(ThreadedStep, PhasesAreTimed) {
  const Samples samples(FeatureType::float32, 256, 300, 10);
  StepOptions options = threaded(options_for(256, Precision::fp32), 2);
  Compiled compiled(make_mlp(300, {64}, 10, 0.0), {}, options);
  compiled.step->train(samples.range(0, 256), update_scalars(options.optimizer, 0.1, 0, 256));
  const StepSeconds seconds = compiled.step->seconds();
  EXPECT_GT(seconds.compute, 0.0);
  EXPECT_GT(seconds.data, 0.0);
  EXPECT_GT(seconds.update, 0.0);
  compiled.step->reset_seconds();
  EXPECT_EQ(compiled.step->seconds().compute, 0.0);
}

}  // namespace
}  // namespace lockstep
