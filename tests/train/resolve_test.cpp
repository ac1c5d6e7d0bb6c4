// resolve(): the defaults that it chooses and everything that it refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "lockstep/config.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr int64_t kSamples = 1000;

Resolved resolved(const std::function<void(Config&)>& change) {
  Config config;
  change(config);
  return resolve(config, kSamples);
}

TEST(Resolve, without_options_is_serial_with_a_batch_of_64) {
  const Resolved run = resolve(Config{}, kSamples);
  EXPECT_EQ(run.strategy, Strategy::serial);
  EXPECT_EQ(run.name, "serial");
  EXPECT_EQ(run.global_batch, 64);
  EXPECT_EQ(run.per_worker_batch, 64);
  EXPECT_EQ(run.learning_rate_scale, 1.0);
  EXPECT_TRUE(run.warnings.empty());
}

TEST(Resolve, several_workers_mean_sync) {
  const Resolved run = resolved([](Config& config) { config.workers = 3; });
  EXPECT_EQ(run.strategy, Strategy::sync);
  EXPECT_EQ(run.name, "sync:3");
  EXPECT_EQ(run.global_batch, 64);
  EXPECT_EQ(run.per_worker_batch, 22);  // spread as evenly as it goes: 22, 21, 21
}

TEST(Resolve, per_worker_batch_grows_the_global_batch_and_the_rate_with_it) {
  const auto configure = [](ScaleLearningRate scale) {
    return [scale](Config& config) {
      config.workers = 4;
      config.per_worker_batch = 50;
      config.scale_lr = scale;
    };
  };
  const Resolved linear = resolved(configure(ScaleLearningRate::linear));
  EXPECT_EQ(linear.global_batch, 200);
  EXPECT_EQ(linear.learning_rate_scale, 4.0);
  EXPECT_EQ(resolved(configure(ScaleLearningRate::sqrt)).learning_rate_scale, 2.0);
  EXPECT_EQ(resolved(configure(ScaleLearningRate::none)).learning_rate_scale, 1.0);
  EXPECT_TRUE(linear.warnings.empty());
}

TEST(Resolve, scaling_the_rate_of_a_fixed_global_batch_does_nothing_and_says_so) {
  const Resolved run = resolved([](Config& config) {
    config.workers = 4;
    config.batch_size = 100;
    config.scale_lr = ScaleLearningRate::linear;
  });
  EXPECT_EQ(run.learning_rate_scale, 1.0);
  ASSERT_EQ(run.warnings.size(), 1u);
  EXPECT_NE(run.warnings[0].find("--scale-lr"), std::string::npos);
}

TEST(Resolve, a_warm_up_to_an_unscaled_rate_is_named_as_idle) {
  const Resolved run = resolved([](Config& config) { config.schedule.warmup_epochs = 1; });
  ASSERT_EQ(run.warnings.size(), 1u);
  EXPECT_NE(run.warnings[0].find("--warmup-epochs"), std::string::npos);
}

TEST(Resolve, a_batch_beyond_the_data_is_the_data) {
  const int64_t huge = std::numeric_limits<int64_t>::max();
  const Resolved global = resolved([&](Config& config) { config.batch_size = huge; });
  EXPECT_EQ(global.global_batch, kSamples);
  EXPECT_EQ(global.warnings.size(), 1u);
  const Resolved each = resolved([&](Config& config) {
    config.workers = 4;
    config.per_worker_batch = huge;
  });
  EXPECT_EQ(each.global_batch, kSamples);
  EXPECT_EQ(each.per_worker_batch, kSamples / 4);
}

TEST(Resolve, more_workers_than_samples_in_a_batch_are_allowed) {
  const Resolved run = resolved([](Config& config) {
    config.workers = 7;
    config.batch_size = 3;
  });
  EXPECT_EQ(run.global_batch, 3);
  EXPECT_EQ(run.per_worker_batch, 1);
}

TEST(Resolve, sync_shares_weights_unless_an_all_reduce_is_named) {
  const auto update = [](AllReduceChoice choice) {
    return resolved([choice](Config& config) {
      config.workers = 2;
      config.allreduce = choice;
    });
  };
  EXPECT_EQ(update(AllReduceChoice::automatic).update, UpdateKind::automatic);
  const Resolved ring = update(AllReduceChoice::ring);
  EXPECT_EQ(ring.update, UpdateKind::replicas);
  EXPECT_EQ(ring.allreduce, AllReduceAlgorithm::ring);
}

TEST(Resolve, who_cuts_gradients_into_buckets_exchanges_gradients) {
  const auto update = [](const auto& change) {
    return resolved([&](Config& config) {
             config.workers = 2;
             change(config);
           })
        .update;
  };
  EXPECT_EQ(update([](Config& c) { c.bucket_mb = 0.5; }), UpdateKind::sliced);
  EXPECT_EQ(update([](Config& c) { c.overlap = Toggle::off; }), UpdateKind::sliced);
  EXPECT_EQ(update([](Config& c) { c.accumulate = 2; }), UpdateKind::sliced);
}

TEST(Resolve, deterministic_folds_in_rank_order_whatever_moves_the_bytes) {
  const Resolved run = resolved([](Config& config) {
    config.workers = 2;
    config.deterministic = true;
    config.allreduce = AllReduceChoice::ring;
  });
  EXPECT_EQ(run.allreduce, AllReduceAlgorithm::direct);
  EXPECT_EQ(run.warnings.size(), 1u);
}

struct Refusal {
  const char* names;  // what the message must name
  std::function<void(Config&)> change;
  ErrorKind kind = ErrorKind::usage;
};

std::vector<Refusal> out_of_range() {
  const double nan = std::nan("");
  return {
      {"--batch-size 0", [](Config& c) { c.batch_size = 0; }},
      {"--per-worker-batch -1", [](Config& c) { c.per_worker_batch = -1; }},
      {"--workers 0", [](Config& c) { c.workers = 0; }},
      {"--workers 1025", [](Config& c) { c.workers = 1025; }},
      {"--threads 0", [](Config& c) { c.threads = 0; }},
      {"--epochs 0", [](Config& c) { c.epochs = 0; }},
      {"--accumulate 0", [](Config& c) { c.accumulate = 0; }},
      {"--dropout 1.5", [](Config& c) { c.model.dropout = 1.5; }},
      {"--dropout 1", [](Config& c) { c.model.dropout = 1.0; }},
      {"--dropout nan", [=](Config& c) { c.model.dropout = nan; }},
      {"--hidden 0",
       [](Config& c) {
         c.model.hidden = {64, 0};
       }},
      {"--model resnet", [](Config& c) { c.model.model = "resnet"; }},
      {"--precision tf32", [](Config& c) { c.model.precision = Precision::tf32; }},
      {"--lr 0", [](Config& c) { c.optimizer.learning_rate = 0.0; }},
      {"--lr nan", [=](Config& c) { c.optimizer.learning_rate = nan; }},
      {"--lr inf", [](Config& c) { c.optimizer.learning_rate = HUGE_VAL; }},
      {"--momentum 1", [](Config& c) { c.optimizer.momentum = 1.0; }},
      {"--weight-decay -0.1", [](Config& c) { c.optimizer.weight_decay = -0.1; }},
      {"--bucket-mb -1", [](Config& c) { c.bucket_mb = -1.0; }},
      {"--sync-every 0", [](Config& c) { c.sync_every.steps = 0; }},
      {"--test-fraction 1", [](Config& c) { c.data.test_fraction = 1.0; }},
      {"--samples -5", [](Config& c) { c.data.samples = -5; }},
      {"--eval-every 0", [](Config& c) { c.eval_every = 0; }},
      {"--patience -1", [](Config& c) { c.patience = -1; }},
      {"--comm-timeout 0", [](Config& c) { c.comm_timeout = 0.0; }},
      {"--target-accuracy 98", [](Config& c) { c.target_accuracy = 98.0; }},
      {"--device gpu", [](Config& c) { c.device = "gpu"; }},
  };
}

std::vector<Refusal> impossible_together() {
  const auto under = [](Strategy strategy, std::function<void(Config&)> change) {
    return [strategy, change](Config& config) {
      config.strategy = strategy;
      config.workers = strategy == Strategy::serial ? 1 : 2;
      change(config);
    };
  };
  return {
      {"--workers 1001: more workers than the 1000", [](Config& c) { c.workers = 1001; }},
      {"serial with --workers 2", under(Strategy::serial, [](Config& c) { c.workers = 2; })},
      {"both given",
       [](Config& c) {
         c.batch_size = 64;
         c.per_worker_batch = 64;
       }},
      {"hogwild with --optimizer adam",
       under(Strategy::hogwild, [](Config& c) { c.optimizer.kind = OptimizerKind::adam; })},
      {"hogwild with --optimizer adamw",
       under(Strategy::hogwild, [](Config& c) { c.optimizer.kind = OptimizerKind::adamw; })},
      {"--accumulate with --strategy hogwild",
       under(Strategy::hogwild, [](Config& c) { c.accumulate = 2; })},
      {"--deterministic with --strategy hogwild",
       under(Strategy::hogwild, [](Config& c) { c.deterministic = true; })},
      {"--deterministic with --strategy local-sgd",
       under(Strategy::local_sgd, [](Config& c) { c.deterministic = true; })},
      {"--sync-every means nothing under --strategy sync",
       under(Strategy::sync, [](Config& c) { c.sync_every.steps = 8; })},
      {"--sync-state means nothing under --strategy sync",
       under(Strategy::sync, [](Config& c) { c.sync_state = SyncState::priv; })},
      {"--bucket-mb means nothing under --strategy hogwild",
       under(Strategy::hogwild, [](Config& c) { c.bucket_mb = 1.0; })},
      {"--allreduce means nothing under --strategy serial",
       under(Strategy::serial, [](Config& c) { c.allreduce = AllReduceChoice::ring; })},
      {"--update means nothing under --strategy local-sgd",
       under(Strategy::local_sgd, [](Config& c) { c.update = UpdateKind::sliced; })},
      {"--allreduce with --update sliced", under(Strategy::sync,
                                                 [](Config& c) {
                                                   c.update = UpdateKind::sliced;
                                                   c.allreduce = AllReduceChoice::ring;
                                                 })},
      {"--nesterov without --momentum", [](Config& c) { c.optimizer.nesterov = true; }},
      {"--momentum with --optimizer adam",
       [](Config& c) {
         c.optimizer.kind = OptimizerKind::adam;
         c.optimizer.momentum = 0.9;
       }},
      {"--warmup-epochs 11 is longer", [](Config& c) { c.schedule.warmup_epochs = 11; }},
      {"--init and --resume",
       [](Config& c) {
         c.init = "a.safetensors";
         c.resume = "b.safetensors";
       }},
      {"--stop-at-target without a target", [](Config& c) { c.stop_at_target = true; }},
      {"--checkpoint-every without --out", [](Config& c) { c.checkpoint_every.count = 1; }},
      {"--overwrite without --out", [](Config& c) { c.overwrite = true; }},
      {"--test-data and --test-fraction",
       [](Config& c) {
         c.data.test_data = "csv:test.csv";
         c.data.test_fraction = 0.1;
       }},
      {"--dropout with --model logistic",
       [](Config& c) {
         c.model.model = "logistic";
         c.model.dropout = 0.1;
       }},
  };
}

void expect_refusal(const Refusal& refusal) {
  Config config;
  refusal.change(config);
  try {
    resolve(config, kSamples);
    FAIL() << "accepted: " << refusal.names;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), refusal.kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(refusal.names), std::string::npos) << error.what();
    EXPECT_FALSE(error.remedy().empty()) << error.what();
  }
}

TEST(Resolve, an_option_out_of_range_is_named_with_its_value) {
  for (const Refusal& refusal : out_of_range()) expect_refusal(refusal);
}

TEST(Resolve, options_that_exclude_each_other_are_refused) {
  for (const Refusal& refusal : impossible_together()) expect_refusal(refusal);
}

}  // namespace
}  // namespace lockstep
