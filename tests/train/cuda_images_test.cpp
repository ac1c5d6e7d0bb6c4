// Whole trainings of convolutional networks and of moved images on a GPU: the CPU's job, samples,
// moves, masks and results.
#include <gtest/gtest.h>

#include "checkpoint_fixture.h"
#include "device/device.h"
#include "lockstep/error.h"
#include "small_images.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::train_images;

class CudaImagesTraining : public testing::DeviceTest {
 protected:
  static TrainedModel train_on(const char* device, const Change& job,
                               const Checkpoint* resume = nullptr) {
    return train_images(
        [&](Config& c) {
          job(c);
          c.device = device;
        },
        resume);
  }

  static void expect_as_on_the_cpu(const Change& job, const char* what, double tolerance = 2e-5) {
    SCOPED_TRACE(what);
    const TrainedModel cpu = train_on("cpu", job), gpu = train_on("cuda", job);
    EXPECT_EQ(gpu.result.steps, cpu.result.steps);
    expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), tolerance);
    expect_close(gpu.checkpoint.state.span(), cpu.checkpoint.state.span(), 10 * tolerance);
    ASSERT_EQ(gpu.result.epochs.size(), cpu.result.epochs.size());
    for (size_t i = 0; i < cpu.result.epochs.size(); ++i) {
      EXPECT_NEAR(gpu.result.epochs[i].train_loss, cpu.result.epochs[i].train_loss, tolerance);
      EXPECT_NEAR(gpu.result.epochs[i].test->loss, cpu.result.epochs[i].test->loss, tolerance);
    }
    EXPECT_NEAR(gpu.result.final_train->loss, cpu.result.final_train->loss, tolerance);
  }

  static std::string sha_of(const Change& job) {
    return train_on("cuda", job).result.parameters_sha256;
  }
};

// 150 samples in batches of 24: the last has 6.
TEST_F(CudaImagesTraining, IsTheCpus) {
  expect_as_on_the_cpu([](Config&) {}, "momentum, dropout, moved images");
  expect_as_on_the_cpu(
      [](Config& c) {
        c.optimizer.momentum = 0.0;
        c.optimizer.kind = OptimizerKind::adam;
        c.optimizer.learning_rate = 1e-3;
        c.accumulate = 5;
      },
      "adam, in parts", 1e-4);
  expect_as_on_the_cpu(
      [](Config& c) {
        c.model.layers =
            "conv 6 5 pad 2, relu, avgpool 2, conv 8 3 pad 1, relu, maxpool 3 stride 1, "
            "flatten, linear 4";
        c.data.shuffle = Shuffle::none;
        c.batch_size = 150;
      },
      "other layers, one batch, in order");
}

TEST_F(CudaImagesTraining, MovedImagesTrainAnMlpAsOnTheCpu) {
  expect_as_on_the_cpu(
      [](Config& c) {
        c.model.layers.clear();
        c.model.hidden = {20};
      },
      "mlp");
}

TEST_F(CudaImagesTraining, IsTheCpusWithCublas) {
  expect_as_on_the_cpu([](Config& c) { c.gemm = Gemm::cublas; }, "linear layers by cuBLASLt");
}

TEST_F(CudaImagesTraining, IsTheCpusOnAWideGpu) {
  testing::pretend_multiprocessors(132);
  expect_as_on_the_cpu([](Config& c) { c.epochs = 1; }, "wide");
}

TEST_F(CudaImagesTraining, HasTheSameBitsInWhateverOrderTheDeviceRuns) {
  for (const Precision precision : testing::precisions()) {
    const Change job = [&](Config& c) {
      c.epochs = 1;
      c.model.precision = precision;
    };
    const std::string expected = sha_of(job);
    for (const int seed : {2, 3}) {
      testing::set_order(seed);
      EXPECT_EQ(sha_of(job), expected) << seed;
    }
  }
}

TEST_F(CudaImagesTraining, DataStreamedFromTheHostGiveTheSameBits) {
  const Change parts = [](Config& c) { c.accumulate = 2; };
  const std::string expected = sha_of(parts);
  for (const int seed : {1, 2, 3}) {
    testing::set_order(seed);
    EXPECT_EQ(sha_of([&](Config& c) {
                parts(c);
                c.data_placement = DataPlacement::host;
              }),
              expected)
        << seed;
  }
}

TEST_F(CudaImagesTraining, TensorCoresLearnTheSame) {
  const Change still = [](Config& c) {
    c.epochs = 6;
    c.data.augment = "none";  // clusters are no images: their mirror is another class
  };
  const double loss = train_on("cuda", still).result.final_test->loss;
  for (const Precision precision : testing::precisions()) {
    if (precision == Precision::fp32) continue;
    const TrainedModel trained = train_on("cuda", [&](Config& c) {
      still(c);
      c.model.precision = precision;
    });
    EXPECT_NEAR(trained.result.final_test->loss, loss, 0.05) << to_string(precision);
    EXPECT_GT(std::abs(trained.result.final_test->loss - loss), 1e-7) << to_string(precision);
  }
}

TEST_F(CudaImagesTraining, ResumedOnTheOtherDeviceGoesOnWhereItWas) {
  const Change two = [](Config&) {};
  const TrainedModel whole = train_on("cuda", two);
  const TrainedModel first = train_on("cuda", [](Config& c) { c.epochs = 1; });
  const TrainedModel second = train_on("cpu", two, &first.checkpoint);
  expect_close(second.checkpoint.values.span(), whole.checkpoint.values.span(), 2e-5);
}

TEST_F(CudaImagesTraining, ADivergedRunIsSaidToBeOne) {
  EXPECT_THROW(train_on("cuda", [](Config& c) { c.optimizer.learning_rate = 1e25; }), Error);
}

}  // namespace
}  // namespace lockstep
