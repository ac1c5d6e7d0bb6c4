// Every mode against serial: bitwise where that is promised, within rounding where it is not.
#include <gtest/gtest.h>

#include <limits>

#include "small_job.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::train_small;

struct OptimizerCase {
  const char* name;
  Change change;
};

const std::vector<OptimizerCase>& optimizer_cases() {
  static const std::vector<OptimizerCase> cases = {
      {"sgd", [](Config&) {}},
      {"sgd with decay", [](Config& c) { c.optimizer.weight_decay = 0.01; }},
      {"momentum", [](Config& c) { c.optimizer.momentum = 0.9; }},
      {"nesterov",
       [](Config& c) {
         c.optimizer.momentum = 0.9;
         c.optimizer.nesterov = true;
       }},
      {"adam",
       [](Config& c) {
         c.optimizer.kind = OptimizerKind::adam;
         c.optimizer.learning_rate = 1e-3;
         c.optimizer.weight_decay = 1e-4;
       }},
      {"adamw with dropout",
       [](Config& c) {
         c.optimizer.kind = OptimizerKind::adamw;
         c.optimizer.learning_rate = 1e-3;
         c.optimizer.weight_decay = 1e-2;
         c.model.dropout = 0.3;
       }},
  };
  return cases;
}

std::string accumulated(const Dataset& dataset, const Change& job, int parts) {
  return train_small(dataset,
                     [&](Config& c) {
                       job(c);
                       c.accumulate = parts;
                     })
      .result.parameters_sha256;
}

TEST(Sync, DeterministicIsBitwiseSerialWithAccumulationForEveryOptimizer) {
  const Dataset dataset = make_dataset();
  for (const OptimizerCase& optimizer : optimizer_cases()) {
    for (const int workers : {2, 3, 5}) {
      const std::string expected = accumulated(dataset, optimizer.change, workers);
      for (const UpdateKind update :
           {UpdateKind::sliced, UpdateKind::factors, UpdateKind::replicas}) {
        const TrainedModel trained = train_small(dataset, [&](Config& c) {
          optimizer.change(c);
          c.strategy = Strategy::sync;
          c.workers = workers;
          c.update = update;
          c.deterministic = true;
        });
        EXPECT_EQ(trained.result.parameters_sha256, expected)
            << optimizer.name << ", " << workers << " workers";
      }
    }
  }
}

TEST(Sync, DeterministicDoesNotDependOnBucketsOverlapOrTransport) {
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) { c.optimizer.momentum = 0.9; };
  const std::string expected = accumulated(dataset, job, 3);
  for (const double bucket_mb : {0.0, 0.0003, 0.002, std::numeric_limits<double>::infinity()}) {
    for (const Toggle overlap : {Toggle::off, Toggle::on}) {
      for (const auto allreduce : {AllReduceChoice::automatic, AllReduceChoice::ring,
                                   AllReduceChoice::direct, AllReduceChoice::central}) {
        const TrainedModel trained = train_small(dataset, [&](Config& c) {
          job(c);
          c.strategy = Strategy::sync;
          c.workers = 3;
          c.bucket_mb = bucket_mb;
          c.overlap = overlap;
          c.allreduce = allreduce;
          c.deterministic = true;
        });
        EXPECT_EQ(trained.result.parameters_sha256, expected) << "bucket " << bucket_mb;
      }
    }
  }
}

TEST(Sync, EveryTransportAgreesWithSerialWithinRounding) {
  const Dataset dataset = make_dataset();
  const TrainedModel serial = train_small(dataset, [](Config&) {});
  for (const auto allreduce :
       {AllReduceChoice::ring, AllReduceChoice::direct, AllReduceChoice::central}) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = Strategy::sync;
      c.workers = 4;
      c.allreduce = allreduce;
    });
    expect_close(serial.checkpoint.values.span(), trained.checkpoint.values.span(), 2e-5);
    EXPECT_NEAR(serial.result.epochs.back().train_loss, trained.result.epochs.back().train_loss,
                1e-5);
  }
}

TEST(Sync, SharesMayBeUnevenOrEmpty) {
  const Dataset dataset = make_dataset(50);  // 50 = 7 * 7 + 1: the last batch has one sample
  const TrainedModel serial = train_small(dataset, [](Config& c) { c.batch_size = 7; });
  for (const UpdateKind update : {UpdateKind::sliced, UpdateKind::factors, UpdateKind::replicas}) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.batch_size = 7;
      c.strategy = Strategy::sync;
      c.workers = 5;
      c.update = update;
    });
    expect_close(serial.checkpoint.values.span(), trained.checkpoint.values.span(), 2e-5);
  }
}

TEST(Sync, CountsCollectivesAndBytes) {
  const Dataset dataset = make_dataset();
  const TrainedModel trained = train_small(dataset, [](Config& c) {
    c.strategy = Strategy::sync;
    c.workers = 2;
    c.allreduce = AllReduceChoice::direct;
    c.bucket_mb = 0.0;
  });
  const ParameterLayout layout(trained.checkpoint.model);
  const CommunicationTotals& totals = trained.result.communication;
  EXPECT_EQ(trained.result.steps, 3 * 9);
  EXPECT_EQ(totals.calls, 3 * 9 * 6);  // six tensors
  EXPECT_EQ(totals.calls_per_epoch, 9 * 6);
  const size_t with_tail = layout.size() + kPadFloats;  // samples are counted with the gradients
  EXPECT_EQ(totals.bytes, static_cast<int64_t>(2 * 3 * 9 * with_tail * sizeof(float)));
}

TEST(Sync, FactorsAreChosenWhereTheyAreSmallerThanGradients) {
  const Dataset dataset = make_dataset();
  const auto update = [&](int64_t batch, const Change& change) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = Strategy::sync;
      c.workers = 2;
      c.batch_size = batch;
      change(c);
    });
    EXPECT_EQ(trained.result.strategy_options.at(0).first, "update");
    return trained.result.strategy_options.at(0).second;
  };
  EXPECT_EQ(update(4, [](Config&) {}), "factors");
  EXPECT_EQ(update(100, [](Config&) {}), "sliced");
  EXPECT_EQ(update(4, [](Config& c) { c.bucket_mb = 0.5; }), "sliced");
  EXPECT_EQ(update(4, [](Config& c) { c.model.model = "logistic"; }), "factors");
}

TEST(Sync, FactorsCountWhatWorkersReadOfEachOther) {
  const Dataset dataset = make_dataset();
  const TrainedModel trained = train_small(dataset, [](Config& c) {
    c.strategy = Strategy::sync;
    c.workers = 2;
    c.update = UpdateKind::factors;
  });
  int64_t inputs = 0, outputs = 0;
  for (const Layer& layer : trained.checkpoint.model.layers) {
    if (const auto* linear = std::get_if<Linear>(&layer)) {
      inputs += linear->inputs;
      outputs += linear->outputs;
    }
  }
  const CommunicationTotals& totals = trained.result.communication;
  const int64_t samples = 3 * dataset.train.size();  // three epochs
  EXPECT_EQ(totals.calls, trained.result.steps);
  EXPECT_EQ(totals.bytes, static_cast<int64_t>(samples * (inputs + outputs) * sizeof(float)));
  EXPECT_EQ(totals.wire_bytes,
            static_cast<int64_t>(samples * (inputs + outputs / 2) * sizeof(float)));
  EXPECT_FALSE(trained.result.time.communication.has_value());
  EXPECT_FALSE(trained.result.time.exposed_communication.has_value());
  EXPECT_TRUE(trained.result.time.synchronization.has_value());
  EXPECT_EQ(trained.result.fused, std::vector<std::string>{"communication"});
}

TEST(LocalSgd, WithPeriodOneAndPlainSgdItIsSyncWithinRounding) {
  const Dataset dataset = make_dataset(50);
  for (const int workers : {2, 3, 5}) {
    const auto job = [&](Strategy strategy) {
      return train_small(dataset, [&](Config& c) {
        c.batch_size = 7;
        c.strategy = strategy;
        c.workers = workers;
      });
    };
    expect_close(job(Strategy::sync).checkpoint.values.span(),
                 job(Strategy::local_sgd).checkpoint.values.span(), 2e-5);
  }
}

TEST(LocalSgd, OneWorkerIsSerialBitForBitWhateverThePeriod) {
  const Dataset dataset = make_dataset();
  const std::string serial = train_small(dataset, [](Config&) {}).result.parameters_sha256;
  for (const auto kind : {SyncEvery::Kind::steps, SyncEvery::Kind::epoch, SyncEvery::Kind::end}) {
    const TrainedModel trained = train_small(dataset, [&](Config& c) {
      c.strategy = Strategy::local_sgd;
      c.sync_every = {kind, 4};
    });
    EXPECT_EQ(trained.result.parameters_sha256, serial);
  }
}

TEST(LocalSgd, AveragesOncePerPeriodAndAtTheEpochsEnd) {
  const Dataset dataset = make_dataset();  // 9 steps an epoch
  const auto calls = [&](SyncEvery every) {
    return train_small(dataset,
                       [&](Config& c) {
                         c.strategy = Strategy::local_sgd;
                         c.workers = 2;
                         c.sync_every = every;
                       })
        .result.communication.calls;
  };
  EXPECT_EQ(calls({SyncEvery::Kind::steps, 1}), 27);
  EXPECT_EQ(calls({SyncEvery::Kind::steps, 4}), 9);  // after 4, 8 and 9
  EXPECT_EQ(calls({SyncEvery::Kind::epoch, 1}), 3);
}

TEST(LocalSgd, EveryPeriodAndStatePolicyLearns) {
  const Dataset dataset = make_dataset(400);
  for (const SyncState state : {SyncState::average, SyncState::priv}) {
    for (const auto kind : {SyncEvery::Kind::steps, SyncEvery::Kind::epoch, SyncEvery::Kind::end}) {
      const TrainedModel trained = train_small(dataset, [&](Config& c) {
        c.strategy = Strategy::local_sgd;
        c.workers = 3;
        c.sync_every = {kind, 4};
        c.sync_state = state;
        c.optimizer.momentum = 0.9;
        c.epochs = 6;
      });
      EXPECT_GE(trained.result.final_test->accuracy, 0.9);
    }
  }
}

TEST(Hogwild, OneWorkerIsSerialWithinRounding) {
  const Dataset dataset = make_dataset();
  for (const double momentum : {0.0, 0.9}) {
    const auto job = [&](Strategy strategy) {
      return train_small(dataset, [&](Config& c) {
        c.strategy = strategy;
        c.optimizer.momentum = momentum;
        c.optimizer.weight_decay = 0.001;
      });
    };
    expect_close(job(Strategy::serial).checkpoint.values.span(),
                 job(Strategy::hogwild).checkpoint.values.span(), 2e-5);
  }
}

TEST(Hogwild, ManyWorkersLearnWhatSerialLearns) {
  const Dataset dataset = make_dataset(400);
  const auto job = [&](Strategy strategy, int workers) {
    return train_small(dataset,
                       [&](Config& c) {
                         c.strategy = strategy;
                         c.workers = workers;
                         c.optimizer.momentum = 0.9;
                         c.epochs = 6;
                       })
        .result.final_test->accuracy;
  };
  const double serial = job(Strategy::serial, 1);
  EXPECT_GE(serial, 0.95);
  EXPECT_GE(job(Strategy::hogwild, 4), serial - 0.05);
}

TEST(Modes, LogisticRegressionTrainsInEveryOne) {
  const Dataset dataset = make_dataset(300, 20, 2);
  const auto job = [&](Strategy strategy, int workers) {
    return train_small(dataset, [&](Config& c) {
      c.model.model = "logistic";
      c.strategy = strategy;
      c.workers = workers;
      c.optimizer.learning_rate = 0.3;
    });
  };
  const TrainedModel serial = job(Strategy::serial, 1);
  EXPECT_GE(serial.result.final_test->accuracy, 0.95);
  expect_close(serial.checkpoint.values.span(), job(Strategy::sync, 3).checkpoint.values.span(),
               1e-5);
  EXPECT_GE(job(Strategy::hogwild, 3).result.final_test->accuracy, 0.93);
  EXPECT_GE(job(Strategy::local_sgd, 3).result.final_test->accuracy, 0.93);
}

}  // namespace
}  // namespace lockstep
