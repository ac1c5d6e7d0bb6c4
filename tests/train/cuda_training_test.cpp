// Whole trainings on an emulated GPU: the CPU's job, samples, masks and results.
#include <gtest/gtest.h>

#include "checkpoint_fixture.h"
#include "emulator/control.h"
#include "lockstep/error.h"
#include "small_job.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::train_small;

class CudaTraining : public ::testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override {
    emulator::set_seed(1);
    emulator::reset();
  }

  static TrainedModel train_on(const char* device, const Dataset& dataset, const Change& job,
                               const Checkpoint* resume = nullptr) {
    return train_small(
        dataset,
        [&](Config& c) {
          job(c);
          c.device = device;
        },
        resume);
  }

  // Two devices add in other orders: equal but for rounding, from the same samples and masks.
  static void expect_as_on_the_cpu(const Dataset& dataset, const Change& job, const char* what,
                                   double tolerance = 1e-5) {
    SCOPED_TRACE(what);
    const TrainedModel cpu = train_on("cpu", dataset, job), gpu = train_on("cuda", dataset, job);
    EXPECT_TRUE(gpu.result.emulated);
    EXPECT_EQ(gpu.result.steps, cpu.result.steps);
    expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), tolerance);
    expect_close(gpu.checkpoint.state.span(), cpu.checkpoint.state.span(), tolerance);
    ASSERT_EQ(gpu.result.epochs.size(), cpu.result.epochs.size());
    for (size_t i = 0; i < cpu.result.epochs.size(); ++i) {
      const EpochRecord& expected = cpu.result.epochs[i];
      const EpochRecord& actual = gpu.result.epochs[i];
      EXPECT_NEAR(actual.train_loss, expected.train_loss, tolerance);
      EXPECT_NEAR(actual.test->loss, expected.test->loss, tolerance);
      EXPECT_EQ(actual.learning_rate, expected.learning_rate);
    }
    EXPECT_NEAR(gpu.result.final_train->loss, cpu.result.final_train->loss, tolerance);
  }
};

// 203 samples in batches of 24: the last has 11.
TEST_F(CudaTraining, IsTheCpusForEveryOptimizer) {
  const Dataset dataset = make_dataset();
  expect_as_on_the_cpu(
      dataset, [](Config&) {}, "sgd");
  expect_as_on_the_cpu(
      dataset,
      [](Config& c) {
        c.optimizer.momentum = 0.9;
        c.optimizer.weight_decay = 0.01;
        c.schedule.kind = ScheduleKind::cosine;
      },
      "momentum, decay, cosine");
  expect_as_on_the_cpu(
      dataset,
      [](Config& c) {
        c.optimizer.momentum = 0.9;
        c.optimizer.nesterov = true;
      },
      "nesterov");
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw}) {
    expect_as_on_the_cpu(
        dataset,
        [&](Config& c) {
          c.optimizer.kind = kind;
          c.optimizer.learning_rate = 1e-3;
          c.optimizer.weight_decay = 1e-2;
          c.model.dropout = 0.3;
        },
        "adam with dropout", 1e-4);
  }
}

TEST_F(CudaTraining, IsTheCpusForEveryModel) {
  const Dataset dataset = make_dataset(), binary = make_dataset(203, 13, 2);
  const Change logistic = [](Config& c) { c.model.model = "logistic"; };
  expect_as_on_the_cpu(dataset, logistic, "softmax regression");
  expect_as_on_the_cpu(binary, logistic, "logistic regression");
  expect_as_on_the_cpu(
      binary,
      [&](Config& c) {
        logistic(c);
        c.data.shuffle = Shuffle::none;
        c.batch_size = 203;
      },
      "logistic regression, one batch, in order");
  expect_as_on_the_cpu(
      dataset,
      [](Config& c) {
        c.model.hidden = {40};
        c.batch_size = 1;
        c.epochs = 1;
      },
      "batches of one");
}

TEST_F(CudaTraining, HasTheSameBitsInWhateverOrderTheDeviceRuns) {
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) {
    c.optimizer.momentum = 0.9;
    c.model.dropout = 0.2;
  };
  const std::string expected = train_on("cuda", dataset, job).result.parameters_sha256;
  for (const int seed : {2, 3}) {
    emulator::set_seed(seed);
    EXPECT_EQ(train_on("cuda", dataset, job).result.parameters_sha256, expected) << seed;
  }
}

TEST_F(CudaTraining, ResumedIsBitwiseTheUninterruptedRun) {
  const Dataset dataset = make_dataset();
  const TemporaryFolder folder;
  const Change job = [&](Config& c) {
    c.optimizer.kind = OptimizerKind::adam;
    c.optimizer.learning_rate = 1e-3;
    c.model.dropout = 0.2;
    c.checkpoint_every = {5, true};
    c.out = folder.path().string();
  };
  const TrainedModel whole = train_on("cuda", dataset, job);
  const Checkpoint state = load_checkpoint(folder.file("checkpoints/step-0000000010.safetensors"));
  const TrainedModel resumed = train_on("cuda", dataset, job, &state);
  EXPECT_EQ(resumed.result.parameters_sha256, whole.result.parameters_sha256);
  EXPECT_EQ(resumed.result.epochs.back().train_loss, whole.result.epochs.back().train_loss);
}

TEST_F(CudaTraining, TensorCoreFormatsStayNear) {
  const Dataset dataset = make_dataset();
  const double loss = train_on("cpu", dataset, [](Config&) {}).result.final_test->loss;
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    const TrainedModel gpu =
        train_on("cuda", dataset, [&](Config& c) { c.model.precision = precision; });
    EXPECT_NEAR(gpu.result.final_test->loss, loss, 0.02) << to_string(precision);
    EXPECT_NE(gpu.result.final_test->loss, loss);
  }
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(CudaTraining, ADivergedRunNamesTheStepAsTheCpuDoes) {
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) { c.optimizer.learning_rate = 1e25; };
  const std::string cpu = message_of([&] { train_on("cpu", dataset, job); });
  EXPECT_EQ(message_of([&] { train_on("cuda", dataset, job); }), cpu);
  EXPECT_NE(cpu.find("step"), std::string::npos) << cpu;
}

TEST_F(CudaTraining, WhatThisVersionLacksIsRefused) {
  const Dataset dataset = make_dataset();
  const std::string message =
      message_of([&] { train_on("cuda", dataset, [](Config& c) { c.accumulate = 2; }); });
  EXPECT_NE(message.find("--accumulate"), std::string::npos) << message;
}

}  // namespace
}  // namespace lockstep
