// Every barrier of every kernel here is needed: without one of them, some order of threads gives
// another result.
#include <functional>

#include "kernels/binary_cross_entropy.h"
#include "kernels/logistic_problem.h"
#include "kernels/op_fixture.h"
#include "kernels/softmax_loss.h"

namespace lockstep {
namespace {

using testing::Samples;

constexpr std::uint64_t kSeeds = 60;  // tried until one shows the difference

class BarrierTest : public testing::KernelTest {
 protected:
  // What `run` computes, from memory made afresh; empty where the kernel failed.
  std::vector<float> result(const std::function<std::vector<float>()>& run, std::uint64_t seed,
                            long dropped) {
    TearDown();
    SetUp();
    emulator::set_seed(seed);
    emulator::drop_barrier(dropped);
    try {
      return run();
    } catch (const Error&) {
      return {};
    }
  }

  void expect_every_barrier_needed(const std::function<std::vector<float>()>& run) {
    if (emulator::under_thread_sanitizer()) GTEST_SKIP() << "races on purpose";
    const std::vector<float> right = result(run, 1, -1);
    ASSERT_FALSE(right.empty());
    const long barriers = emulator::barriers_seen();
    EXPECT_GT(barriers, 0);
    for (long k = 0; k < barriers; ++k) {
      std::uint64_t seed = 1;
      while (seed <= kSeeds && testing::same_bits(result(run, seed, k), right)) ++seed;
      EXPECT_LE(seed, kSeeds) << "nothing shows that barrier " << k << " of " << barriers
                              << " is dropped";
    }
  }

  std::vector<float> loss_of(int classes, std::int64_t count) {
    const Samples samples(FeatureType::float32, count, 1, std::max(classes, 2), 7);
    const std::vector<float> logits = testing::normals(count * classes, 5);
    LossRows rows;
    rows.logits = testing::to_device(logits);
    rows.labels = testing::to_device(samples.split.labels);
    rows.logits_stride = rows.gradient_stride = rows.classes = classes;
    rows.rows = count;
    StepState* state = testing::step_state();
    const LossSums sums = training_sums(state, testing::to_device(std::vector<LossScratch>(1)));
    if (classes > 1) {
      softmax_loss(rows, sums, stream_);
    } else {
      binary_cross_entropy_loss(rows, sums, stream_);
    }
    return of_metrics(state);
  }

  std::vector<float> logistic(FeatureType type, std::int64_t columns, std::int64_t rows,
                              bool train) {
    emulator::set_multiprocessors(0, 1);
    const Samples samples(type, 2 * rows, columns, 2);
    const Sampler sampler(2 * rows, testing::LogisticProblem::kSeed, Shuffle::epoch);
    const BatchRows batch = training_rows(sampler, testing::LogisticProblem::kBatch, rows);
    const testing::LogisticProblem p(
        samples, type == FeatureType::uint8 ? testing::unit_scaling() : Normalization{});
    float* gradients = testing::to_device(std::vector<float>(p.layout.size()));
    if (train) {
      logistic_train(p.model, batch, UpdateRule::sgd, p.parameters, p.step, p.scratch, stream_);
    } else {
      logistic_gradient(p.model, batch, p.step.state, gradients, p.scratch, stream_);
    }
    std::vector<float> all = of_metrics(p.step.state);
    for (const float* from : {p.model.values, static_cast<const float*>(gradients)}) {
      const std::vector<float> part = testing::from_device(from, p.layout.size());
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  static std::vector<float> of_metrics(const StepState* on_device) {
    const StepState state = testing::from_device(on_device, 1)[0];
    return {static_cast<float>(state.metrics.loss), static_cast<float>(state.metrics.correct),
            static_cast<float>(state.metrics.count), static_cast<float>(state.step),
            static_cast<float>(state.first_bad_step)};
  }
};

TEST_F(BarrierTest, softmax) {
  expect_every_barrier_needed([&] { return loss_of(10, 30); });
}

TEST_F(BarrierTest, binary_cross_entropy) {
  expect_every_barrier_needed([&] { return loss_of(1, 200); });
}

TEST_F(BarrierTest, logistic_gradient_of_narrow_rows) {
  expect_every_barrier_needed([&] { return logistic(FeatureType::uint8, 20, 200, false); });
}

TEST_F(BarrierTest, logistic_gradient_of_rows_that_warps_share) {
  expect_every_barrier_needed([&] { return logistic(FeatureType::float32, 1030, 9, false); });
}

TEST_F(BarrierTest, logistic_training_step) {
  expect_every_barrier_needed([&] { return logistic(FeatureType::float32, 100, 40, true); });
}

}  // namespace
}  // namespace lockstep
