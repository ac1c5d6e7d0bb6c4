// Synchronous training on several GPUs against serial in as many parts: bit for bit.
#include <gtest/gtest.h>

#include <limits>

#include "many_gpus.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::make_dataset;

struct Case {
  const char* name;
  Change change;
};

// 203 samples in batches of 24: uneven shares at 5 and 7 workers, a last batch of 11, which leaves
// some of 8 workers a single sample.
const std::vector<Case>& optimizers() {
  static const std::vector<Case> cases = {
      {"sgd with decay", [](Config& c) { c.optimizer.weight_decay = 0.01; }},
      {"momentum", [](Config& c) { c.optimizer.momentum = 0.9; }},
      {"adam with dropout", [](Config& c) {
         c.optimizer.kind = OptimizerKind::adam;
         c.optimizer.learning_rate = 1e-3;
         c.model.dropout = 0.3;
       }}};
  return cases;
}

class ManyGpusExact : public testing::ManyGpusTest {
 protected:
  void expect_serials(const Dataset& dataset, int workers, const Change& job,
                      const std::string& what) {
    if (!have(workers)) return;
    const TrainedModel serial = train_parts(dataset, workers, job);
    const TrainedModel sync = train_gpus(dataset, workers, [&](Config& c) {
      c.deterministic = true;
      job(c);
    });
    EXPECT_EQ(sync.result.parameters_sha256, serial.result.parameters_sha256)
        << what << ", " << workers << " workers";
    ASSERT_EQ(sync.result.epochs.size(), serial.result.epochs.size());
    EXPECT_NEAR(sync.result.epochs.back().train_loss, serial.result.epochs.back().train_loss,
                1e-12);
    EXPECT_EQ(sync.result.epochs.back().train_accuracy, serial.result.epochs.back().train_accuracy);
    testing::expect_close(sync.checkpoint.state.span(), serial.checkpoint.state.span(), 0.0);
  }
};

TEST_F(ManyGpusExact, DeterministicIsSerialForEveryOptimizer) {
  const Dataset dataset = make_dataset();
  for (const auto& [name, change] : optimizers()) expect_serials(dataset, 3, change, name);
  for (const int workers : {2, 4, 8}) {
    expect_serials(dataset, workers, optimizers().back().change, optimizers().back().name);
  }
}

TEST_F(ManyGpusExact, DeterministicIsSerialWhateverLeavesWhen) {
  const Dataset dataset = make_dataset(101, 40, 5);
  for (const double megabytes :
       {0.0, 0.0005, 0.002, 1.0, std::numeric_limits<double>::infinity()}) {
    for (const Toggle overlap : {Toggle::on, Toggle::off}) {
      const Change job = [&](Config& c) {
        c.model.hidden = {70, 33};  // slabs of whole tiles, and less
        c.bucket_mb = megabytes;
        c.overlap = overlap;
        c.optimizer.momentum = 0.9;
        c.epochs = 1;
      };
      expect_serials(dataset, 3, job, "buckets of " + std::to_string(megabytes) + " MB");
    }
  }
}

// Batches of 5 for 8 workers, and of one sample.
TEST_F(ManyGpusExact, DeterministicIsSerialWhereSharesAreEmpty) {
  const Dataset dataset = make_dataset(23);
  for (const int64_t batch : {5, 1}) {
    for (const int workers : {2, 4, 8}) {
      expect_serials(
          dataset, workers,
          [&](Config& c) {
            c.batch_size = batch;
            c.optimizer.momentum = 0.9;
            c.epochs = 2;
          },
          "batches of " + std::to_string(batch));
    }
  }
}

TEST_F(ManyGpusExact, DeterministicIsSerialForEveryModelAndPlacement) {
  const Dataset dataset = make_dataset(), binary = make_dataset(203, 13, 2);
  const Change logistic = [](Config& c) { c.model.model = "logistic"; };
  expect_serials(binary, 3, logistic, "logistic regression");
  expect_serials(dataset, 3, logistic, "softmax regression");
  expect_serials(
      dataset, 3, [](Config& c) { c.data_placement = DataPlacement::host; }, "data of the host");
  expect_serials(
      dataset, 2, [](Config& c) { c.data.shuffle = Shuffle::none; }, "in order");
  expect_serials(
      dataset, 2, [](Config& c) { c.gemm = Gemm::cublas; }, "cuBLASLt");
}

// Two numbers have one sum, whatever the order.
TEST_F(ManyGpusExact, TwoWorkersAreSerialWithNcclsOwnSum) {
  const Dataset dataset = make_dataset();
  for (const auto& [name, change] : optimizers()) {
    const TrainedModel serial = train_parts(dataset, 2, change);
    EXPECT_EQ(train_gpus(dataset, 2, change).result.parameters_sha256,
              serial.result.parameters_sha256)
        << name;
  }
}

// A worker's own parts are added before the workers' sums are.
TEST_F(ManyGpusExact, PartsOfASharesGiveTheSameBitsInEveryBucket) {
  const Dataset dataset = make_dataset();
  std::string expected;
  for (const double megabytes : {0.0, 0.0005, 1.0}) {
    if (!have(3)) GTEST_SKIP() << "three GPUs";
    const TrainedModel trained = train_gpus(dataset, 3, [&](Config& c) {
      c.deterministic = true;
      c.accumulate = 5;  // more than some shares have samples
      c.bucket_mb = megabytes;
      c.optimizer.momentum = 0.9;
    });
    if (expected.empty()) expected = trained.result.parameters_sha256;
    EXPECT_EQ(trained.result.parameters_sha256, expected) << megabytes;
  }
}

}  // namespace
}  // namespace lockstep
