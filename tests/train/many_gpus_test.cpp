// Whole trainings on several GPUs: the results of one GPU and of the CPU within rounding.
#include "many_gpus.h"

#include <gtest/gtest.h>

#include <limits>

#include "checkpoint_fixture.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::make_dataset;
using testing::option_of;
using testing::train_small;

class ManyGpus : public testing::ManyGpusTest {
 protected:
  // The same workers on the CPU.
  static void expect_as_on_the_cpu(const Dataset& dataset, int workers, const Change& job,
                                   const std::string& what, double tolerance = 1e-5) {
    SCOPED_TRACE(what + ", " + std::to_string(workers) + " workers");
    if (!have(workers)) return;
    const TrainedModel cpu = train_small(dataset, [&](Config& c) {
      c.strategy = Strategy::sync;
      job(c);
      c.grad_dtype = GradientType::fp32;
      c.workers = workers;
    });
    const TrainedModel gpu = train_gpus(dataset, workers, job);
    expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), tolerance);
    expect_close(gpu.checkpoint.state.span(), cpu.checkpoint.state.span(), tolerance);
    EXPECT_EQ(gpu.result.steps, cpu.result.steps);
    ASSERT_EQ(gpu.result.epochs.size(), cpu.result.epochs.size());
    for (size_t i = 0; i < cpu.result.epochs.size(); ++i) {
      EXPECT_NEAR(gpu.result.epochs[i].train_loss, cpu.result.epochs[i].train_loss, tolerance);
      EXPECT_NEAR(gpu.result.epochs[i].test->loss, cpu.result.epochs[i].test->loss, tolerance);
    }
  }
};

TEST_F(ManyGpus, SyncIsTheCpusForEveryOptimizer) {
  const Dataset dataset = make_dataset();
  const Change momentum = [](Config& c) { c.optimizer.momentum = 0.9; };
  const Change adam = [](Config& c) {
    c.optimizer.kind = OptimizerKind::adam;
    c.optimizer.learning_rate = 1e-3;
    c.model.dropout = 0.3;
    c.accumulate = 2;
  };
  for (const int workers : {2, 4, 8}) {
    expect_as_on_the_cpu(dataset, workers, momentum, "momentum");
    expect_as_on_the_cpu(dataset, workers, adam, "adam, dropout, two parts", 1e-4);
  }
  expect_as_on_the_cpu(
      make_dataset(203, 13, 2), 3, [](Config& c) { c.model.model = "logistic"; }, "logistic");
}

TEST_F(ManyGpus, LocalSgdIsTheCpus) {
  const Dataset dataset = make_dataset();
  const auto every = [](SyncEvery::Kind kind, int64_t steps, SyncState state) {
    return [=](Config& c) {
      c.strategy = Strategy::local_sgd;
      c.sync_every = {kind, steps};
      c.sync_state = state;
      c.optimizer.momentum = 0.9;
      c.model.dropout = 0.2;
    };
  };
  using Kind = SyncEvery::Kind;
  for (const int workers : {2, 5}) {
    expect_as_on_the_cpu(dataset, workers, every(Kind::steps, 1, SyncState::average), "H = 1");
    expect_as_on_the_cpu(dataset, workers, every(Kind::steps, 3, SyncState::priv), "H = 3");
    expect_as_on_the_cpu(dataset, workers, every(Kind::epoch, 1, SyncState::average), "epochs");
    expect_as_on_the_cpu(dataset, workers, every(Kind::end, 1, SyncState::average), "once");
  }
  // Batches of 3 leave some of 5 workers without a sample: they take no step.
  expect_as_on_the_cpu(
      make_dataset(31), 5,
      [&](Config& c) {
        every(Kind::steps, 2, SyncState::average)(c);
        c.batch_size = 3;
      },
      "empty shares");
}

// With plain SGD and H = 1 averaging parameters is averaging gradients.
TEST_F(ManyGpus, LocalSgdOfOneStepIsSync) {
  if (!have(3)) GTEST_SKIP() << "three GPUs";
  const Dataset dataset = make_dataset();
  const TrainedModel sync = train_gpus(dataset, 3, [](Config&) {});
  const TrainedModel local =
      train_gpus(dataset, 3, [](Config& c) { c.strategy = Strategy::local_sgd; });
  expect_close(local.checkpoint.values.span(), sync.checkpoint.values.span(), 1e-5);
}

TEST_F(ManyGpus, NamedGpusTrainAsTheFirstOnes) {
  if (!have(4)) GTEST_SKIP() << "four GPUs";
  const Dataset dataset = make_dataset();
  const Change job = [](Config& c) { c.deterministic = true; };
  const TrainedModel first = train_gpus(dataset, 3, job);
  const TrainedModel named = train_small(dataset, [&](Config& c) {
    job(c);
    c.workers = 3;
    c.device = "cuda:0,3,1";
  });
  EXPECT_EQ(named.result.parameters_sha256, first.result.parameters_sha256);
  EXPECT_EQ(named.result.name, "sync:3@cuda");
  EXPECT_EQ(named.result.device, "cuda:0,3,1");
}

TEST_F(ManyGpus, GradientsInBf16StayNear) {
  if (!have(4)) GTEST_SKIP() << "four GPUs";
  const Dataset dataset = make_dataset();
  const auto loss_of = [&](GradientType type, double megabytes) {
    const TrainedModel trained = train_gpus(dataset, 4, [&](Config& c) {
      c.grad_dtype = type;
      c.bucket_mb = megabytes;
    });
    EXPECT_EQ(option_of(trained, "grad_dtype"), to_string(type));
    return trained.result;
  };
  const RunResult exact = loss_of(GradientType::fp32, 1.0);
  for (const double megabytes : {0.0, 0.0005, 1.0}) {
    const RunResult rounded = loss_of(GradientType::bf16, megabytes);
    EXPECT_NEAR(rounded.final_test->loss, exact.final_test->loss, 0.01);
    EXPECT_GT(std::abs(rounded.final_test->loss - exact.final_test->loss), 1e-7);
    EXPECT_LT(rounded.communication.bytes, 0.6 * exact.communication.bytes);
  }
}

TEST_F(ManyGpus, ResumedIsBitwiseTheUninterruptedRun) {
  if (!have(3)) GTEST_SKIP() << "three GPUs";
  const Dataset dataset = make_dataset();
  const TemporaryFolder folder;
  const Change job = [&](Config& c) {
    c.deterministic = true;
    c.optimizer.kind = OptimizerKind::adam;
    c.optimizer.learning_rate = 1e-3;
    c.checkpoint_every = {5, true};
    c.out = folder.path().string();
  };
  const TrainedModel whole = train_gpus(dataset, 3, job);
  const Checkpoint state = load_checkpoint(folder.file("checkpoints/step-0000000010.safetensors"));
  const TrainedModel resumed = train_gpus(dataset, 3, job, &state);
  EXPECT_EQ(resumed.result.parameters_sha256, whole.result.parameters_sha256);
}

TEST_F(ManyGpus, ADivergedRunNamesTheStepThatOneGpuNames) {
  if (!have(3)) GTEST_SKIP() << "three GPUs";
  const Dataset dataset = make_dataset();
  const auto message_of = [&](const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::diverged);
      return std::string(error.what());
    }
    return std::string("nothing was thrown");
  };
  const Change job = [](Config& c) { c.optimizer.learning_rate = 1e25; };
  const std::string one = message_of([&] { train_parts(dataset, 1, job); });
  const auto step = one.substr(one.find("at step"));
  const std::string three = message_of([&] { train_gpus(dataset, 3, job); });
  EXPECT_NE(three.find(step), std::string::npos) << three << "\n" << one;
}

TEST_F(ManyGpus, SaysWhatCommunicationTook) {
  const Dataset dataset = make_dataset();
  const TrainedModel trained = train_gpus(dataset, 2, [](Config& c) { c.bucket_mb = 0.001; });
  const PhaseSeconds& time = trained.result.time;
  ASSERT_TRUE(time.compute && time.data && time.update);
  ASSERT_TRUE(time.communication && time.exposed_communication);
  EXPECT_TRUE(time.sampled);
  EXPECT_GT(*time.communication, 0.0);
  EXPECT_GT(*time.exposed_communication, 0.0);
  EXPECT_TRUE(trained.result.fused.empty());
  // 13-17-9-4, each tensor padded to 32 floats, in buckets of 224 floats, and the tail.
  const int64_t floats = 224 + 32 + 160 + 32 + 64 + 32, steps = trained.result.steps;
  EXPECT_EQ(trained.result.communication.calls, steps * 3);
  EXPECT_EQ(trained.result.communication.bytes, 2 * steps * 4 * (floats + 32));
  EXPECT_EQ(trained.result.communication.wire_bytes, trained.result.communication.bytes);
  EXPECT_EQ(option_of(trained, "allreduce"), "nccl");
  EXPECT_EQ(option_of(trained, "bucket_mb"), "0.001");
  EXPECT_EQ(option_of(trained, "overlap"), "on");
  const TrainedModel local =
      train_gpus(dataset, 2, [](Config& c) { c.strategy = Strategy::local_sgd; });
  EXPECT_GT(local.result.time.communication.value(), 0.0);
  EXPECT_EQ(local.result.communication.calls, local.result.steps);
}

// Large enough that there is something to choose: every worker must choose alike.
TEST_F(ManyGpus, BucketsAreChosenByMeasurement) {
  const Dataset dataset = make_dataset(85, 100, 4);
  const Change job = [](Config& c) {
    c.model.hidden = {300};
    c.batch_size = 1;
    c.deterministic = true;
    c.epochs = 1;
  };
  const TrainedModel automatic = train_gpus(dataset, 2, job);
  EXPECT_NE(option_of(automatic, "bucket_mb").find("(auto)"), std::string::npos);
  const TrainedModel given = train_gpus(dataset, 2, [&](Config& c) {
    job(c);
    c.bucket_mb = std::numeric_limits<double>::infinity();
  });
  EXPECT_EQ(automatic.result.parameters_sha256, given.result.parameters_sha256);
}

}  // namespace
}  // namespace lockstep
