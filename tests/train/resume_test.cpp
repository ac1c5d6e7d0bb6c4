// Interrupted and resumed runs.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "lockstep/error.h"
#include "small_job.h"
#include "train/training_state.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::train_small;

class Resume : public ::testing::Test {
 protected:
  Resume() {
    std::string pattern = (fs::temp_directory_path() / "lockstep-resume-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~Resume() override { fs::remove_all(folder_); }

  // The state that `job` saved after `step` global batches of a run with a checkpoint every 5.
  Checkpoint state_after(const Dataset& dataset, const Change& job, int step) {
    train_small(dataset, [&](Config& c) {
      job(c);
      c.out = folder_.string();
      c.checkpoint_every = {5, true};
    });
    char name[64];
    snprintf(name, sizeof(name), "step-%010d.safetensors", step);
    return load_checkpoint((folder_ / "checkpoints" / name).string());
  }

  fs::path folder_;
};

TEST_F(Resume, SerialIsBitwiseTheUninterruptedRunFromMidEpochAndBetweenEpochs) {
  const Dataset dataset = make_dataset(240);  // 10 steps an epoch
  for (const auto kind : {OptimizerKind::sgd, OptimizerKind::adam}) {
    const Change job = [&](Config& c) {
      c.optimizer.kind = kind;
      c.optimizer.momentum = kind == OptimizerKind::sgd ? 0.9 : 0.0;
      c.optimizer.learning_rate = 0.01;
      c.model.dropout = 0.2;
      c.schedule.kind = ScheduleKind::cosine;
    };
    const TrainedModel whole = train_small(dataset, job);
    for (const int step : {5, 10, 25}) {
      const Checkpoint state = state_after(dataset, job, step);
      const TrainedModel resumed = train_small(dataset, job, &state);
      EXPECT_EQ(resumed.result.parameters_sha256, whole.result.parameters_sha256) << step;
      ASSERT_EQ(resumed.result.epochs.size(), whole.result.epochs.size());
      for (size_t i = 0; i < whole.result.epochs.size(); ++i) {
        EXPECT_DOUBLE_EQ(resumed.result.epochs[i].train_loss, whole.result.epochs[i].train_loss);
        EXPECT_EQ(resumed.result.epochs[i].test->accuracy, whole.result.epochs[i].test->accuracy);
      }
    }
  }
}

TEST_F(Resume, DeterministicSyncIsBitwiseTheUninterruptedRun) {
  const Dataset dataset = make_dataset(240);
  for (const UpdateKind update : {UpdateKind::sliced, UpdateKind::replicas}) {
    const Change job = [&](Config& c) {
      c.strategy = Strategy::sync;
      c.workers = 3;
      c.deterministic = true;
      c.optimizer.momentum = 0.9;
      c.update = update;
    };
    const Checkpoint state = state_after(dataset, job, 15);
    EXPECT_EQ(train_small(dataset, job, &state).result.parameters_sha256,
              train_small(dataset, job).result.parameters_sha256);
  }
}

TEST_F(Resume, AnotherNumberOfWorkersSeesTheSameStreamOfSamples) {
  const Dataset dataset = make_dataset(240);
  const Change serial = [](Config& c) { c.optimizer.momentum = 0.9; };
  const TrainedModel whole = train_small(dataset, serial);
  const Checkpoint state = state_after(dataset, serial, 15);
  for (const int workers : {2, 3}) {
    const TrainedModel resumed = train_small(
        dataset,
        [&](Config& c) {
          serial(c);
          c.strategy = Strategy::sync;
          c.workers = workers;
        },
        &state);
    expect_close(resumed.checkpoint.values.span(), whole.checkpoint.values.span(), 5e-5);
    EXPECT_NEAR(resumed.result.epochs[1].train_loss, whole.result.epochs[1].train_loss, 1e-5);
  }
}

TEST_F(Resume, HogwildAndLocalSgdGoOnFromTheirState) {
  const Dataset dataset = make_dataset(240);
  for (const auto strategy : {Strategy::hogwild, Strategy::local_sgd}) {
    const Change job = [&](Config& c) {
      c.strategy = strategy;
      c.workers = 2;
      c.optimizer.momentum = 0.9;
    };
    const Checkpoint state = state_after(dataset, job, 15);
    const TrainedModel resumed = train_small(dataset, job, &state);
    EXPECT_EQ(resumed.result.epochs.size(), 3u);
    EXPECT_GE(resumed.result.final_test->accuracy, 0.85);
  }
}

TEST_F(Resume, ANewerStateIsFoundInTheResultFolder) {
  const Dataset dataset = make_dataset(240);
  state_after(
      dataset, [](Config&) {}, 5);
  EXPECT_EQ(fs::path(find_training_state(folder_.string())).filename(),
            "step-0000000030.safetensors");
  EXPECT_THROW(find_training_state("/nonexistent"), Error);
}

TEST_F(Resume, AnotherConfigurationIsRefused) {
  const Dataset dataset = make_dataset(240);
  const Checkpoint state = state_after(
      dataset, [](Config&) {}, 5);
  const std::vector<Change> others = {
      [](Config& c) { c.batch_size = 12; }, [](Config& c) { c.optimizer.momentum = 0.9; },
      [](Config& c) { c.model.hidden = {17}; }, [](Config& c) { c.seed = 2; }};
  for (const Change& other : others) {
    try {
      train_small(dataset, other, &state);
      FAIL() << "resumed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    }
  }
  EXPECT_THROW(train_small(
                   make_dataset(480), [](Config&) {}, &state),
               Error)
      << "other data";
}

TEST_F(Resume, AStopRequestEndsEveryModeWithinAStepAndTheStateGoesOn) {
  const Dataset dataset = make_dataset(2400);
  for (const auto strategy :
       {Strategy::serial, Strategy::sync, Strategy::hogwild, Strategy::local_sgd}) {
    const Change job = [&](Config& c) {
      c.strategy = strategy;
      c.workers = strategy == Strategy::serial ? 1 : 3;
      if (strategy == Strategy::local_sgd) c.sync_every = {SyncEvery::Kind::epoch, 1};
      c.epochs = 4;
    };
    std::atomic<int> stop{0};
    TrainObserver observer;
    observer.on_epoch = [&](const EpochRecord& record) {
      if (record.epoch == 2) stop = 15;
    };
    const TrainedModel stopped = train_small(dataset, job, nullptr, observer, &stop);
    EXPECT_EQ(stopped.result.status, RunStatus::interrupted);
    EXPECT_EQ(stopped.result.epochs.size(), 2u);
    // A worker may have started its next step before another saw the request.
    EXPECT_GE(stopped.checkpoint.position->global_step, 200);
    EXPECT_LE(stopped.checkpoint.position->global_step, 201);
    const TrainedModel resumed = train_small(dataset, job, &stopped.checkpoint);
    EXPECT_EQ(resumed.result.status, RunStatus::ok);
    EXPECT_EQ(resumed.result.epochs.size(), 4u);
    EXPECT_EQ(resumed.result.steps, 400);
  }
}

}  // namespace
}  // namespace lockstep
