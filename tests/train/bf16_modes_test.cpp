// bf16 under every strategy.
#include <gtest/gtest.h>

#include <limits>

#include "backend/gemm.h"
#include "small_job.h"

namespace lockstep {
namespace {

using testing::make_dataset;
using testing::train_small;

class Bf16Modes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!bf16_available()) GTEST_SKIP() << "this CPU has no bf16 instructions";
  }
  // Wide enough that a layer's gradient takes several products.
  static void job(Config& c) {
    c.model.precision = Precision::bf16;
    c.model.hidden = {230, 17};
    c.model.dropout = 0.2;
    c.optimizer.momentum = 0.9;
  }
  const Dataset dataset_ = make_dataset(203, 300);
};

TEST_F(Bf16Modes, DeterministicSyncIsBitwiseSerialWithAccumulation) {
  for (const int workers : {2, 3}) {
    const std::string expected = train_small(dataset_, [&](Config& c) {
                                   job(c);
                                   c.accumulate = workers;
                                 }).result.parameters_sha256;
    for (const double bucket_mb : {0.0, 0.002, 0.05, std::numeric_limits<double>::infinity()}) {
      for (const UpdateKind update : {UpdateKind::sliced, UpdateKind::replicas}) {
        const TrainedModel trained = train_small(dataset_, [&](Config& c) {
          job(c);
          c.strategy = Strategy::sync;
          c.workers = workers;
          c.update = update;
          c.bucket_mb = bucket_mb;
          c.deterministic = true;
        });
        EXPECT_EQ(trained.result.parameters_sha256, expected)
            << workers << " workers, bucket " << bucket_mb;
      }
    }
  }
}

TEST_F(Bf16Modes, TheSameRunHasTheSameBits) {
  const std::string once = train_small(dataset_, job).result.parameters_sha256;
  EXPECT_EQ(train_small(dataset_, job).result.parameters_sha256, once);
}

TEST_F(Bf16Modes, EveryStrategyLearnsWhatFloat32Learns) {
  const Dataset dataset = make_dataset(400);
  const auto accuracy = [&](Precision precision, Strategy strategy, int workers) {
    return train_small(dataset,
                       [&](Config& c) {
                         c.model.precision = precision;
                         c.strategy = strategy;
                         c.workers = workers;
                         c.optimizer.momentum = 0.9;
                         c.epochs = 6;
                       })
        .result.final_test->accuracy;
  };
  const double fp32 = accuracy(Precision::fp32, Strategy::serial, 1);
  EXPECT_GE(fp32, 0.95);
  EXPECT_GE(accuracy(Precision::bf16, Strategy::serial, 1), fp32 - 0.02);
  EXPECT_GE(accuracy(Precision::bf16, Strategy::sync, 3), fp32 - 0.02);
  EXPECT_GE(accuracy(Precision::bf16, Strategy::hogwild, 3), fp32 - 0.05);
  EXPECT_GE(accuracy(Precision::bf16, Strategy::local_sgd, 3), fp32 - 0.05);
}

}  // namespace
}  // namespace lockstep
