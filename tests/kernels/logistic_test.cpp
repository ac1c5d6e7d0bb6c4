#include "kernels/logistic.h"

#include <cmath>
#include <limits>

#include "backend/logistic.h"
#include "kernels/logistic_problem.h"
#include "reference/network.h"

namespace lockstep {
namespace {

using testing::Samples;

constexpr std::uint32_t kEpoch = testing::LogisticProblem::kEpoch;
constexpr std::int64_t kBatch = testing::LogisticProblem::kBatch;

class LogisticTest : public testing::KernelTest {
 protected:
  BatchMetrics metrics(const testing::LogisticProblem& p) {
    return testing::from_device(p.step.state, 1)[0].metrics;
  }
  std::vector<float> floats(const testing::LogisticProblem& p, const float* from) {
    return testing::from_device(from, p.layout.size());
  }

  void expect_gradient(const Samples& samples, const Normalization& normalization,
                       const Sampler& sampler, std::int64_t global_batch) {
    const BatchRows batch = training_rows(sampler, kBatch, global_batch);
    const std::vector<std::int64_t> picked = testing::sampled(sampler, kEpoch, kBatch, batch);
    testing::LogisticProblem p(samples, normalization);
    float* gradients = testing::to_device(std::vector<float>(p.layout.size(), 99.0f));
    logistic_gradient(p.model, batch, p.step.state, gradients, p.scratch, stream_);

    const std::vector<double> values(p.values.begin(), p.values.end());
    const reference::Result expected =
        reference::run(make_logistic(p.model.data.columns, 2), p.layout, values,
                       samples.pick(picked), normalization, reference::DropoutMode::off, 0);
    const BatchMetrics sums = metrics(p);
    const std::string where =
        std::to_string(p.model.data.columns) + " columns, " + std::to_string(batch.rows) + " rows";
    EXPECT_NEAR(sums.loss, expected.loss, 1e-5 + 5e-6 * expected.loss) << where;
    EXPECT_EQ(sums.correct, expected.correct) << where;
    EXPECT_EQ(sums.count, batch.rows);
    const std::vector<float> got = floats(p, gradients);
    const double allowed = 2e-6 * static_cast<double>(batch.rows) + 1e-5;
    const std::size_t columns = p.layout.weight(0).size;
    for (std::size_t j = 0; j < columns; ++j) {
      ASSERT_NEAR(got[p.model.weight + j], expected.gradients[p.model.weight + j], allowed)
          << where << ", " << j;
    }
    ASSERT_NEAR(got[p.model.bias], expected.gradients[p.model.bias], allowed) << where;
    for (std::size_t i = columns; i < p.model.bias; ++i) ASSERT_EQ(got[i], 99.0f) << "padding";
  }
};

TEST_F(LogisticTest, gradient_matches_the_oracle_for_both_types_and_every_scale) {
  for (const std::int64_t columns : {1, 2, 3, 4, 7, 20, 61, 128, 129, 132, 256, 784, 1030}) {
    const Samples floats(FeatureType::float32, 53, columns, 2);
    const Samples bytes(FeatureType::uint8, 53, columns, 2);
    const Sampler sampler(53, 3, Shuffle::epoch);
    expect_gradient(floats, {}, sampler, 17);
    expect_gradient(floats, testing::per_feature(columns, 0.5f), sampler, 26);
    expect_gradient(bytes, testing::unit_scaling(), sampler, 26);
    expect_gradient(bytes, testing::per_feature(columns, 0.004f), sampler, 9);
  }
}

TEST_F(LogisticTest, the_widest_rows_are_shared_by_warps) {
  for (const std::int64_t columns : {2047, 4096}) {
    const Samples bytes(FeatureType::uint8, 11, columns, 2);
    expect_gradient(bytes, testing::unit_scaling(), Sampler(11, 3, Shuffle::epoch), 5);
    const Samples floats(FeatureType::float32, 11, columns, 2);
    expect_gradient(floats, {}, Sampler(11, 3, Shuffle::none), 5);
  }
}

// Two blocks, so that each takes rows several times.
TEST_F(LogisticTest, a_small_device_goes_round) {
  testing::pretend_multiprocessors(1);
  const Samples bytes(FeatureType::uint8, 1900, 20, 2);
  expect_gradient(bytes, testing::unit_scaling(), Sampler(1900, 3, Shuffle::epoch), 950);
  const Samples wide(FeatureType::float32, 80, 1030, 2);
  expect_gradient(wide, {}, Sampler(80, 3, Shuffle::epoch), 40);
}

std::vector<OptimizerConfig> configurations() {
  OptimizerConfig sgd, momentum, nesterov, adam;
  sgd.weight_decay = 1e-3;
  momentum.momentum = nesterov.momentum = 0.9;
  nesterov.nesterov = true;
  adam.kind = OptimizerKind::adam;
  return {sgd, momentum, nesterov, adam};
}

TEST_F(LogisticTest, a_training_step_is_bitwise_gradient_update_and_advance) {
  for (const std::int64_t columns : {3, 20, 97, 200}) {
    const Samples samples(FeatureType::float32, 450, columns, 2);
    const Sampler sampler(450, 3, Shuffle::epoch);
    const BatchRows batch = training_rows(sampler, kBatch, 150);
    for (const OptimizerConfig& config : configurations()) {
      const UpdateRule rule = update_rule(config);
      testing::LogisticProblem one(samples, {}, config);
      float* gradients = testing::to_device(std::vector<float>(one.layout.size()));
      ParameterPointers with_gradients = one.parameters;
      with_gradients.gradients = gradients;
      testing::LogisticProblem other(samples, {}, config);
      for (int step = 0; step < 2; ++step) {
        logistic_gradient(one.model, batch, one.step.state, gradients, one.scratch, stream_);
        update(rule, one.layout.all(), with_gradients, one.step, stream_);
        advance_step(one.step, stream_);
        logistic_train(other.model, batch, rule, other.parameters, other.step, other.scratch,
                       stream_);
      }
      EXPECT_NE(floats(one, one.parameters.values), one.values);
      EXPECT_EQ(floats(other, other.parameters.values), floats(one, one.parameters.values));
      EXPECT_EQ(floats(other, other.parameters.gradients)[0], 99.0f) << "written without need";
      EXPECT_EQ(floats(other, other.parameters.state0), floats(one, one.parameters.state0));
      EXPECT_EQ(floats(other, other.parameters.state1), floats(one, one.parameters.state1));
      const StepState a = testing::from_device(one.step.state, 1)[0];
      const StepState b = testing::from_device(other.step.state, 1)[0];
      EXPECT_EQ(a.step, 2);
      EXPECT_EQ(b.step, 2);
      EXPECT_EQ(b.batch, a.batch);
      EXPECT_EQ(b.metrics.loss, a.metrics.loss);
      EXPECT_EQ(b.metrics.correct, a.metrics.correct);
    }
  }
}

TEST_F(LogisticTest, the_same_bits_whatever_the_order_of_blocks_and_threads) {
  for (const std::int64_t columns : {20, 784}) {
    const Samples samples(FeatureType::uint8, 400, columns, 2);
    const BatchRows batch = training_rows(Sampler(400, 3, Shuffle::epoch), kBatch, 200);
    const auto trained = [&] {
      testing::LogisticProblem p(samples, testing::unit_scaling());
      logistic_train(p.model, batch, UpdateRule::sgd, p.parameters, p.step, p.scratch, stream_);
      return std::pair(floats(p, p.parameters.values), metrics(p).loss);
    };
    const auto first = trained();
    for (std::uint64_t seed = 2; seed < 5; ++seed) {
      testing::set_order(seed);
      EXPECT_EQ(trained(), first);
    }
  }
}

TEST_F(LogisticTest, nothing_is_updated_from_the_first_loss_on_that_is_not_finite) {
  for (const std::int64_t columns : {20, 200}) {
    Samples samples(FeatureType::float32, 60, columns, 2);
    samples.floats[samples.floats.size() - 1] = std::numeric_limits<float>::infinity();
    samples.floats[samples.floats.size() - 2] = -std::numeric_limits<float>::infinity();
    testing::LogisticProblem p(samples, {});
    const Sampler sampler(60, 3, Shuffle::none);
    start_epoch(p.step.state, {.batch = 1, .step = 7}, stream_);
    for (const int step : {0, 1, 2}) {
      const std::vector<float> before = floats(p, p.parameters.values);
      logistic_train(p.model, training_rows(sampler, 0, 20), UpdateRule::sgd, p.parameters, p.step,
                     p.scratch, stream_);
      const StepState state = testing::from_device(p.step.state, 1)[0];
      EXPECT_EQ(state.step, 8 + step);
      EXPECT_EQ(state.first_bad_step, step == 0 ? -1 : 8);
      EXPECT_EQ(floats(p, p.parameters.values) == before, step > 0);
      if (step == 1) start_epoch(p.step.state, {.batch = 0, .step = 9}, stream_);
    }
  }
}

TEST_F(LogisticTest, an_empty_share_has_a_gradient_of_zero) {
  const Samples samples(FeatureType::uint8, 4, 6, 2);
  const BatchRows batch = training_rows(Sampler(4, 3, Shuffle::epoch), 0, 1, 0, 2);
  ASSERT_EQ(batch.rows, 0);
  testing::LogisticProblem p(samples, testing::unit_scaling());
  float* gradients = testing::to_device(std::vector<float>(p.layout.size(), 9.0f));
  logistic_gradient(p.model, batch, p.step.state, gradients, p.scratch, stream_);
  const std::vector<float> got = floats(p, gradients);
  for (std::size_t j = 0; j < 6; ++j) EXPECT_EQ(got[p.model.weight + j], 0.0f);
  EXPECT_EQ(got[p.model.bias], 0.0f);
  EXPECT_EQ(metrics(p).count, 0);
}

TEST_F(LogisticTest, evaluation_gives_logits_and_metrics) {
  for (const std::int64_t columns : {5, 20, 300}) {
    const Samples samples(FeatureType::uint8, 70, columns, 2);
    const testing::LogisticProblem p(samples, testing::unit_scaling());
    const FeatureScaling scaling(testing::unit_scaling(), columns);
    std::vector<float> expected(70);
    const BatchMetrics cpu = LogisticPass(scaling, columns)
                                 .evaluate(samples.range(0, 70), p.values.data() + p.model.weight,
                                           p.values[p.model.bias], expected.data());
    BatchMetrics* metrics = testing::to_device(std::vector<BatchMetrics>(1));
    float* logits = testing::device_array<float>(70);
    for (const IndexRange range : {IndexRange{0, 41}, IndexRange{41, 41}, IndexRange{41, 70}}) {
      logistic_evaluate(p.model, consecutive_rows(range), logits + range.begin,
                        {.scratch = p.scratch.loss, .metrics = metrics}, stream_);
    }
    const BatchMetrics got = testing::from_device(metrics, 1)[0];
    EXPECT_NEAR(got.loss, cpu.loss, 1e-5 + 5e-6 * cpu.loss);
    EXPECT_EQ(got.correct, cpu.correct);
    EXPECT_EQ(got.count, 70);
    const std::vector<float> out = testing::from_device(logits, 70);
    for (std::size_t i = 0; i < 70; ++i) EXPECT_NEAR(out[i], expected[i], 3e-5);
  }
}

TEST_F(LogisticTest, without_labels_there_are_logits_and_no_loss) {
  Samples samples(FeatureType::float32, 4, 5, 2);
  samples.split.labels.clear();
  const testing::LogisticProblem p(samples, {});
  BatchMetrics* metrics = testing::to_device(std::vector<BatchMetrics>(1));
  float* logits = testing::to_device(std::vector<float>(4, 99.0f));
  logistic_evaluate(p.model, consecutive_rows({0, 4}), logits,
                    {.scratch = p.scratch.loss, .metrics = metrics}, stream_);
  EXPECT_EQ(testing::from_device(metrics, 1)[0].count, 4);
  EXPECT_EQ(testing::from_device(metrics, 1)[0].loss, 0.0);
  for (const float logit : testing::from_device(logits, 4)) EXPECT_NE(logit, 99.0f);
}

TEST_F(LogisticTest, rows_that_are_too_wide_are_refused) {
  LogisticModel model;
  model.data.columns = kLogisticColumns + 1;
  EXPECT_THROW(logistic_evaluate(model, consecutive_rows({0, 1}), nullptr, {}, stream_), Error);
}

}  // namespace
}  // namespace lockstep
