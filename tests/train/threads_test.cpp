// --threads: several threads inside each worker, in every mode.
#include <gtest/gtest.h>

#include "lockstep/error.h"
#include "small_job.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::train_small;

void adam_with_dropout(Config& c) {
  c.optimizer.kind = OptimizerKind::adamw;
  c.optimizer.learning_rate = 1e-3;
  c.optimizer.weight_decay = 1e-2;
  c.model.dropout = 0.3;
  c.batch_size = 50;
}

void momentum(Config& c) {
  c.optimizer.momentum = 0.9;
  c.batch_size = 50;
}

std::string hash(const Dataset& dataset, const Change& job, const Change& more) {
  return train_small(dataset,
                     [&](Config& c) {
                       job(c);
                       more(c);
                     })
      .result.parameters_sha256;
}

TEST(Threads, SerialHasTheBitsOfOneThread) {
  const Dataset dataset = make_dataset();
  for (const Change& job : {Change(adam_with_dropout), Change(momentum)}) {
    const std::string expected = hash(dataset, job, [](Config&) {});
    for (const int threads : {2, 3, 5}) {
      EXPECT_EQ(hash(dataset, job, [&](Config& c) { c.threads = threads; }), expected);
    }
  }
}

TEST(Threads, DeterministicSyncIsBitwiseSerialWithAccumulation) {
  const Dataset dataset = make_dataset();
  for (const Change& job : {Change(adam_with_dropout), Change(momentum)}) {
    const std::string expected = hash(dataset, job, [](Config& c) { c.accumulate = 2; });
    for (const UpdateKind update :
         {UpdateKind::automatic, UpdateKind::sliced, UpdateKind::replicas}) {
      EXPECT_EQ(hash(dataset, job,
                     [&](Config& c) {
                       c.strategy = Strategy::sync;
                       c.workers = 2;
                       c.threads = 3;
                       c.update = update;
                       c.deterministic = true;
                     }),
                expected);
    }
  }
}

// The first layer's weight is stored by inputs, and so are its slices.
TEST(Threads, ASparseFirstLayerHasTheBitsOfOneThread) {
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) {
    adam_with_dropout(c);
    c.sparse_input = SparseInput::on;
  };
  const std::string expected = hash(dataset, adam_with_dropout, [](Config&) {});
  for (const int threads : {2, 3, 5}) {
    EXPECT_EQ(hash(dataset, job, [&](Config& c) { c.threads = threads; }), expected);
  }
  const auto sync = [](Config& c) {
    c.strategy = Strategy::sync;
    c.workers = 2;
    c.threads = 3;
    c.update = UpdateKind::sliced;
    c.deterministic = true;
  };
  EXPECT_EQ(hash(dataset, job, sync),
            hash(dataset, adam_with_dropout, [](Config& c) { c.accumulate = 2; }));
}

TEST(Threads, LocalSgdHasTheBitsOfOneThread) {
  const Dataset dataset = make_dataset();
  const auto job = [&](int threads) {
    return hash(dataset, momentum, [&](Config& c) {
      c.strategy = Strategy::local_sgd;
      c.workers = 2;
      c.threads = threads;
    });
  };
  EXPECT_EQ(job(2), job(1));
}

TEST(Threads, HogwildLearns) {
  const Dataset dataset = make_dataset(400);
  const TrainedModel trained = train_small(dataset, [](Config& c) {
    c.strategy = Strategy::hogwild;
    c.workers = 2;
    c.threads = 2;
    c.optimizer.momentum = 0.9;
    c.epochs = 6;
  });
  EXPECT_GE(trained.result.final_test->accuracy, 0.9);
  EXPECT_EQ(trained.result.threads, 2);
}

TEST(Threads, LogisticRegressionRepeatsItselfNearOneThread) {
  const Dataset dataset = make_dataset(300, 20, 2);
  const auto job = [&](int threads) {
    return train_small(dataset, [&](Config& c) {
      c.model.model = "logistic";
      c.threads = threads;
    });
  };
  const TrainedModel two = job(2);
  EXPECT_EQ(job(2).result.parameters_sha256, two.result.parameters_sha256);
  expect_close(job(1).checkpoint.values.span(), two.checkpoint.values.span(), 1e-5);
}

TEST(Threads, AnErrorLeavesNobodyWaiting) {
  const Dataset dataset = make_dataset();
  for (const Strategy strategy : {Strategy::serial, Strategy::sync}) {
    try {
      train_small(dataset, [&](Config& c) {
        c.strategy = strategy;
        c.workers = strategy == Strategy::sync ? 2 : 1;
        c.threads = 2;
        c.optimizer.learning_rate = 1e30;
      });
      FAIL() << "the loss stayed finite";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::diverged);
    }
  }
}

TEST(Threads, FactorsBetweenWorkersAreRefused) {
  Config config;
  config.strategy = Strategy::sync;
  config.workers = 2;
  config.update = UpdateKind::factors;
  resolve(config, 1000);
  config.threads = 2;
  EXPECT_THROW(resolve(config, 1000), Error);
}

}  // namespace
}  // namespace lockstep
