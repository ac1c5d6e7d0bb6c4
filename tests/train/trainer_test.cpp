// What every run does besides its strategy: records, targets, errors, measures.
#include "lockstep/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "lockstep/error.h"
#include "small_job.h"
#include "train/checkpoint_fixture.h"
#include "train/run.h"

namespace lockstep {
namespace {

using testing::make_dataset;
using testing::train_small;

constexpr Strategy kStrategies[] = {Strategy::serial, Strategy::sync, Strategy::hogwild,
                                    Strategy::local_sgd};

int workers_of(Strategy strategy) {
  return strategy == Strategy::serial ? 1 : 3;
}

TEST(Trainer, SameSeedSameWeightsOtherSeedOtherWeights) {
  const Dataset dataset = make_dataset();
  const auto hash = [&](uint64_t seed) {
    return train_small(dataset, [&](Config& c) { c.seed = seed; }).result.parameters_sha256;
  };
  EXPECT_EQ(hash(1), hash(1));
  EXPECT_NE(hash(1), hash(2));
}

TEST(Trainer, EveryModeRecordsEveryEpochAndItsOwnTime) {
  const Dataset dataset = make_dataset();
  for (const Strategy strategy : kStrategies) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = strategy;
      c.workers = workers_of(strategy);
    });
    const RunResult& run = trained.result;
    ASSERT_EQ(run.epochs.size(), 3u);
    double seconds = 0.0;
    for (const EpochRecord& record : run.epochs) {
      EXPECT_TRUE(record.test.has_value());
      EXPECT_GT(record.seconds, 0.0);
      seconds += record.seconds;
    }
    EXPECT_DOUBLE_EQ(run.train_seconds, seconds);
    EXPECT_GT(run.samples_per_second, 0.0);
    EXPECT_EQ(run.workers_time.size(), static_cast<size_t>(workers_of(strategy)));
    EXPECT_EQ(run.time.synchronization.has_value(), strategy != Strategy::serial);
    EXPECT_TRUE(run.time.data.has_value());
    EXPECT_EQ(run.parameters, 13 * 17 + 17 + 17 * 9 + 9 + 9 * 4 + 4);
    EXPECT_GT(run.peak_memory_bytes, 0);
  }
}

TEST(Trainer, AnEpochsAccuracyIsThatOfItsWeights) {
  const Dataset dataset = make_dataset();
  for (const Strategy strategy : kStrategies) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = strategy;
      c.workers = workers_of(strategy);
    });
    const Predictions again =
        evaluate(trained.checkpoint.model, dataset.normalization, *dataset.test,
                 trained.checkpoint.values.span(), {2, {}, true});
    EXPECT_EQ(again.evaluation.accuracy, trained.result.epochs.back().test->accuracy);
    EXPECT_EQ(again.evaluation.loss, trained.result.epochs.back().test->loss);
    EXPECT_EQ(again.logits.size(), static_cast<size_t>(dataset.test->size() * 4));
  }
}

TEST(Trainer, EvaluationDoesNotDependOnTheNumberOfThreads) {
  const Dataset dataset = make_dataset(2000);
  const TrainedModel trained = train_small(dataset, [](Config& c) { c.epochs = 1; });
  const auto loss = [&](int threads) {
    return evaluate(trained.checkpoint.model, dataset.normalization, dataset.train,
                    trained.checkpoint.values.span(), {threads, {}})
        .evaluation.loss;
  };
  EXPECT_EQ(loss(1), loss(2));
  EXPECT_EQ(loss(1), loss(3));
}

TEST(Trainer, ADivergingRunStopsInEveryModeAndNamesTheStep) {
  const Dataset dataset = make_dataset();
  for (const Strategy strategy : kStrategies) {
    try {
      train_small(dataset, [&](Config& c) {
        c.strategy = strategy;
        c.workers = workers_of(strategy);
        c.optimizer.learning_rate = 1e30;
      });
      FAIL() << "did not diverge";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::diverged);
      EXPECT_NE(std::string(error.what()).find("at step "), std::string::npos) << error.what();
    }
  }
}

TEST(Trainer, AnErrorOfOneWorkerEndsTheRun) {
  const Dataset dataset = make_dataset();
  TrainObserver observer;
  observer.on_epoch = [](const EpochRecord&) { throw Error(ErrorKind::runtime, "no more paper"); };
  for (const Strategy strategy : kStrategies) {
    EXPECT_THROW(train_small(
                     dataset,
                     [&](Config& c) {
                       c.strategy = strategy;
                       c.workers = workers_of(strategy);
                     },
                     nullptr, observer),
                 Error);
  }
}

TEST(Trainer, StopsAtItsTargetAndSaysWhen) {
  const Dataset dataset = make_dataset(400);
  const TrainedModel trained = train_small(dataset, [](Config& c) {
    c.epochs = 50;
    c.target_accuracy = 0.9;
    c.stop_at_target = true;
    c.strategy = Strategy::sync;
    c.workers = 2;
  });
  EXPECT_LT(trained.result.epochs.size(), 50u);
  EXPECT_GE(trained.result.epochs.back().test->accuracy, 0.9);
  ASSERT_TRUE(trained.result.time_to_target.has_value());
  EXPECT_DOUBLE_EQ(*trained.result.time_to_target, trained.result.train_seconds);
}

TEST(Trainer, KeepsTheBestEpochAndStopsWhenPatienceIsOut) {
  Dataset dataset = make_dataset(100);
  // Labels that nothing can learn: fitting the training part only makes the test part worse.
  for (size_t i = 0; i < dataset.test->labels.size(); ++i) {
    dataset.test->labels[i] = static_cast<int32_t>((i * i + i / 3) % 4);
  }
  const TrainedModel trained = train_small(dataset, [](Config& c) {
    c.epochs = 200;
    c.optimizer.learning_rate = 0.3;
    c.keep_best = true;
    c.patience = 4;
  });
  const auto& epochs = trained.result.epochs;
  ASSERT_LT(epochs.size(), 200u);
  const auto worse = [](const EpochRecord& a, const EpochRecord& b) {
    return std::pair(a.test->accuracy, -a.test->loss) < std::pair(b.test->accuracy, -b.test->loss);
  };
  const auto best = std::ranges::max_element(epochs, worse);
  EXPECT_EQ(epochs.end() - best, 1 + 4);
  EXPECT_DOUBLE_EQ(trained.result.final_test->accuracy, best->test->accuracy);
  EXPECT_NEAR(trained.result.final_test->loss, best->test->loss, 1e-9);
}

TEST(Trainer, EvaluatesEveryNthEpochAndTheLast) {
  const Dataset dataset = make_dataset();
  for (const int64_t every : {1, 2, 3, 9}) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.epochs = 5;
      c.eval_every = every;
    });
    for (const EpochRecord& record : trained.result.epochs) {
      const bool due = record.epoch % every == 0 || record.epoch == 5;
      EXPECT_EQ(record.test.has_value(), due) << "epoch " << record.epoch << ", every " << every;
    }
  }
}

// One sample a step for two workers: one of them does nothing but wait, so that a phase counted
// twice would exceed the time that the whole call took.
TEST(Trainer, PhasesAreDisjointAndACpuWorkersCommunicationIsAllExposed) {
  const Dataset dataset = make_dataset();
  const auto check = [&](Strategy strategy, UpdateKind update) {
    SCOPED_TRACE(to_string(strategy));
    const auto start = std::chrono::steady_clock::now();
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = strategy;
      c.update = update;
      c.workers = 2;
      c.batch_size = 1;
      c.epochs = 20;
      c.eval_every = 20;
    });
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;
    EXPECT_LE(trained.result.train_seconds, whole.count());
    double waited = 0.0;
    for (const PhaseSeconds& time : trained.result.workers_time) {
      EXPECT_EQ(time.exposed_communication, time.communication);
      const double sum = time.compute.value_or(0.0) + time.exposed_communication.value_or(0.0) +
                         time.synchronization.value_or(0.0) + time.data.value_or(0.0) +
                         time.update.value_or(0.0);
      EXPECT_LE(sum, whole.count());
      waited = std::max(waited, time.synchronization.value_or(0.0));
    }
    EXPECT_GT(waited, 0.0);
  };
  check(Strategy::sync, UpdateKind::sliced);
  check(Strategy::sync, UpdateKind::replicas);
  check(Strategy::local_sgd, UpdateKind::automatic);
  check(Strategy::hogwild, UpdateKind::automatic);
}

TEST(Trainer, StartsFromTheWeightsOfACheckpoint) {
  const Dataset dataset = make_dataset();
  const TrainedModel first = train_small(dataset, [](Config& c) { c.epochs = 1; });
  const TemporaryFolder folder;
  const std::string path = folder.file("init.safetensors");
  save_checkpoint(path, first.checkpoint);
  const TrainedModel second = train_small(dataset, [&](Config& c) {
    c.epochs = 1;
    c.init = path;
    c.optimizer.learning_rate = 1e-20;
  });
  EXPECT_EQ(second.result.parameters_sha256, first.result.parameters_sha256);
}

TEST(Trainer, LabelsAreRequired) {
  Dataset dataset = make_dataset();
  dataset.train.labels.clear();
  EXPECT_THROW(train_small(dataset, [](Config&) {}), Error);
}

TEST(Trainer, GradientsAreKeptOnlyWhereSomebodyReadsThem) {
  const auto kept = [](const std::function<void(Config&)>& change) {
    Config config = testing::small_config();
    config.batch_size = 4;
    change(config);
    const Model model = make_model(config.model, 13, 2);
    return keeps_gradients(resolve(config, 1000), model);
  };
  EXPECT_FALSE(kept([](Config&) {}));
  EXPECT_FALSE(kept([](Config& c) { c.threads = 2; }));
  EXPECT_FALSE(kept([](Config& c) { c.strategy = Strategy::local_sgd; }));
  const auto sync = [](Config& c) { c.workers = 2; };
  EXPECT_FALSE(kept(sync)) << "small batches exchange factors";
  EXPECT_TRUE(kept([&](Config& c) {
    sync(c);
    c.update = UpdateKind::sliced;
  }));
  EXPECT_TRUE(kept([](Config& c) { c.accumulate = 2; }));
  EXPECT_TRUE(kept([](Config& c) { c.model.model = "logistic"; }));
  EXPECT_TRUE(kept([](Config& c) { c.model.precision = Precision::bf16; }));
  EXPECT_TRUE(kept([](Config& c) { c.strategy = Strategy::hogwild; }));
}

// An input that is always zero: with decay alone, Adam takes its weights towards zero, and itself
// through numbers that no CPU is fast with.
TEST(Train, LeavesNoDenormalNumbersBehind) {
  Dataset dataset = make_dataset(64, 8);
  auto features = std::make_shared<Buffer<float>>(size_t{64} * 8);
  for (int64_t i = 0; i < 64; ++i) {
    for (int64_t j = 0; j < 7; ++j) (*features)[i * 8 + j] = dataset.train.features.float_row(i)[j];
  }
  dataset.train.features.data = features->data();
  dataset.train.features.keep_alive = features;
  for (const Strategy strategy : {Strategy::serial, Strategy::sync, Strategy::local_sgd}) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = strategy;
      c.workers = strategy == Strategy::serial ? 1 : 2;
      c.threads = strategy == Strategy::serial ? 2 : 1;
      c.batch_size = 8;
      c.epochs = 300;
      c.optimizer.kind = OptimizerKind::adam;
      c.optimizer.learning_rate = 1e-3;
      c.optimizer.weight_decay = 1e-5;
    });
    for (const float value : trained.checkpoint.values.span()) {
      ASSERT_NE(std::fpclassify(value), FP_SUBNORMAL) << value;
    }
  }
}

}  // namespace
}  // namespace lockstep
