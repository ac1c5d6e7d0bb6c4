// What a convolutional network takes of a GPU's memory, and what is said where that is too much.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "backend/cuda_step.h"
#include "device/device.h"
#include "lockstep/device.h"
#include "lockstep/error.h"
#include "small_images.h"

namespace lockstep {
namespace {

using CudaImagesMemory = testing::DeviceTest;

struct Job {
  Config config = testing::small_image_config();
  Model model = make_model(config.model, testing::small_images().features(), 4,
                           testing::small_images().image);
  ParameterLayout layout{model};
  Normalization none;
  Buffer<float> values{layout.size()};

  StepMemory memory() { return {values.span(), {}, {}}; }
  // Of training batches of so many, and evaluation in blocks of 512.
  static StepOptions options(int64_t batch) {
    StepOptions options;
    options.train_batch = batch;
    options.max_batch = std::max<int64_t>(batch, 512);
    return options;
  }
  size_t bytes(int64_t batch) const { return cuda_step_bytes(model, layout, options(batch)); }
  void compile(int64_t batch) {
    (void)make_cuda_backend(0)->compile(model, layout, none, memory(), options(batch));
  }
};

TEST_F(CudaImagesMemory, ABatchThatDoesNotFitNamesTheLargestThatDoes) {
  Job job;
  for (const int64_t batch : {400, 4000}) {
    emulator::set_memory_limit(0, job.bytes(batch) - 1);
    try {
      job.compile(batch);
      FAIL() << "a batch of " << batch << " was accepted";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.kind(), ErrorKind::device);
      EXPECT_THAT(message, ::testing::HasSubstr("the training step needs "));
      EXPECT_THAT(message, ::testing::HasSubstr(" are free"));
      std::smatch found;
      const std::regex of_batch("a worker's batch of " + std::to_string(batch) +
                                " samples ([0-9]+) would fit");
      ASSERT_TRUE(std::regex_search(message, found, of_batch)) << message;
      const int64_t fits = std::stoll(found[1]);
      EXPECT_GT(fits, batch / 2);
      EXPECT_LT(fits, batch);
      EXPECT_THAT(error.remedy(), ::testing::HasSubstr("--per-worker-batch " + found[1].str()));
      EXPECT_NO_THROW(job.compile(fits));
    }
  }
}

// An evaluated block alone is too much.
TEST_F(CudaImagesMemory, WhereNoBatchFitsNoneIsNamed) {
  Job job;
  emulator::set_memory_limit(0, job.bytes(1) / 2);
  try {
    job.compile(400);
    FAIL() << "it was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::Not(::testing::HasSubstr("would fit")));
    EXPECT_FALSE(error.remedy().empty());
  }
}

// Within a tenth: what is predicted is what is then allocated.
TEST_F(CudaImagesMemory, TakesWhatIsPredicted) {
  Job job;
  const Dataset& dataset = testing::small_images();
  const int64_t before = gpu_memory(0).free;
  const auto predicted = static_cast<double>(job.bytes(150));
  const auto step =
      make_cuda_step(job.model, job.layout, job.none, job.memory(), Job::options(150));
  const Sampler sampler(dataset.train.size(), 1, Shuffle::epoch);
  EpochJob epochs;
  epochs.data = &dataset.train;
  epochs.sampler = &sampler;
  epochs.global_batch = 150;
  step->epoch_step()->prepare(epochs);
  const auto data = static_cast<double>(dataset.train.features.bytes());
  const double taken = static_cast<double>(before - gpu_memory(0).free) - data;
  EXPECT_NEAR(taken, predicted, 0.1 * predicted);
}

}  // namespace
}  // namespace lockstep
