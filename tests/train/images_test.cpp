// Convolutional networks and augmented images under every mode of CPUs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "lockstep/data.h"
#include "lockstep/error.h"
#include "small_images.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::small_images;
using testing::train_images;

TEST(Images, SerialLearns) {
  const TrainedModel trained = train_images([](Config& c) {
    c.epochs = 12;
    c.data.augment = "none";  // clusters are no images: their mirror is another class
  });
  EXPECT_GT(trained.result.final_test->accuracy, 0.9);
}

TEST(Images, DeterministicSyncIsBitwiseSerialWithAccumulation) {
  for (const int workers : {2, 3}) {
    const std::string expected =
        train_images([&](Config& c) { c.accumulate = workers; }).result.parameters_sha256;
    for (const UpdateKind update : {UpdateKind::sliced, UpdateKind::replicas}) {
      for (const double bucket_mb : {0.0, 1e-4, std::numeric_limits<double>::infinity()}) {
        const TrainedModel trained = train_images([&](Config& c) {
          c.strategy = Strategy::sync;
          c.workers = workers;
          c.update = update;
          c.bucket_mb = bucket_mb;
          c.deterministic = true;
        });
        EXPECT_EQ(trained.result.parameters_sha256, expected) << workers << " workers";
      }
    }
  }
}

TEST(Images, EveryModeOfOneWorkerIsSerial) {
  const TrainedModel serial = train_images([](Config&) {});
  for (const Strategy strategy : {Strategy::sync, Strategy::hogwild, Strategy::local_sgd}) {
    const TrainedModel trained = train_images([&](Config& c) { c.strategy = strategy; });
    expect_close(trained.checkpoint.values.span(), serial.checkpoint.values.span(), 1e-4);
  }
}

TEST(Images, SyncFollowsSerialWithinRounding) {
  const TrainedModel serial = train_images([](Config&) {});
  for (const int workers : {2, 4}) {
    const TrainedModel sync = train_images([&](Config& c) {
      c.strategy = Strategy::sync;
      c.workers = workers;
    });
    expect_close(sync.checkpoint.values.span(), serial.checkpoint.values.span(), 1e-3);
    const TrainedModel local = train_images([&](Config& c) {
      c.strategy = Strategy::local_sgd;
      c.workers = workers;
      c.optimizer.momentum = 0.0;
    });
    const TrainedModel plain = train_images([&](Config& c) { c.optimizer.momentum = 0.0; });
    expect_close(local.checkpoint.values.span(), plain.checkpoint.values.span(), 1e-3);
  }
}

TEST(Images, HogwildLearns) {
  const TrainedModel trained = train_images([](Config& c) {
    c.strategy = Strategy::hogwild;
    c.workers = 2;
    c.epochs = 12;
    c.data.augment = "none";
  });
  EXPECT_GT(trained.result.final_test->accuracy, 0.85);
}

TEST(Images, AugmentationChangesTheTrainingAndNothingElse) {
  const TrainedModel moved = train_images([](Config&) {});
  const TrainedModel still = train_images([](Config& c) { c.data.augment = "none"; });
  EXPECT_NE(moved.result.parameters_sha256, still.result.parameters_sha256);
  // Without a step, evaluation sees the images as they are.
  const auto evaluated = [](const char* augment) {
    return train_images([&](Config& c) {
             c.optimizer.learning_rate = 1e-30;
             c.data.augment = augment;
           })
        .result.final_train->loss;
  };
  EXPECT_EQ(evaluated("flip,crop:2"), evaluated("none"));
}

TEST(Images, CheckpointsKeepTheNetwork) {
  const std::string path = ::testing::TempDir() + "lockstep_images.safetensors";
  const TrainedModel trained = train_images([](Config&) {});
  save_checkpoint(path, trained.checkpoint);
  const Checkpoint loaded = load_checkpoint(path);
  std::filesystem::remove(path);
  EXPECT_EQ(loaded.model.image, (ImageShape{2, 8, 9}));
  ASSERT_EQ(loaded.model.layers.size(), trained.checkpoint.model.layers.size());
  for (size_t i = 0; i < loaded.model.layers.size(); ++i) {
    EXPECT_EQ(to_string(loaded.model.layers[i]), to_string(trained.checkpoint.model.layers[i]));
  }
  const Dataset& dataset = small_images();
  const Predictions predictions =
      evaluate(loaded.model, loaded.normalization, *dataset.test, loaded.values.span(), {});
  EXPECT_EQ(predictions.evaluation.loss, trained.result.final_test->loss);
}

void expect_refused(const Change& change, const char* text) {
  try {
    train_images(change);
    ADD_FAILURE() << "was accepted: " << text;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(text));
    EXPECT_FALSE(error.remedy().empty());
  }
}

TEST(Images, WhatCannotBeDoneIsRefused) {
  expect_refused([](Config& c) { c.data.augment = "rotate"; }, "no such augmentation");
  expect_refused([](Config& c) { c.data.augment = "crop:0"; }, "no such augmentation");
  expect_refused([](Config& c) { c.data.augment = "flip,flip"; }, "no such augmentation");
  expect_refused([](Config& c) { c.threads = 2; }, "one thread");
  expect_refused([](Config& c) { c.model.precision = Precision::bf16; }, "float32");
  expect_refused(
      [](Config& c) {
        c.strategy = Strategy::sync;
        c.workers = 2;
        c.update = UpdateKind::factors;
      },
      "--update factors");
  expect_refused([](Config& c) { c.sparse_input = SparseInput::on; }, "--sparse-input on");
  Dataset table = testing::make_dataset();
  Config config = testing::small_config();
  config.data.augment = "flip";
  const Model model = make_model(config.model, table.features(), table.classes);
  try {
    train(resolve(config, table.train.size()), table, model, {}, nullptr, nullptr);
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("moves images"));
  }
}

}  // namespace
}  // namespace lockstep
