// Convolutional networks on several GPUs.
#include <gtest/gtest.h>

#include <limits>
#include <utility>
#include <vector>

#include "many_gpus.h"
#include "small_images.h"
#ifdef LOCKSTEP_EMULATOR
#include "emulator/communication.h"
#endif

namespace lockstep {
namespace {

using testing::Change;
using testing::expect_close;
using testing::train_images;

class ManyGpusImages : public testing::ManyGpusTest {
 protected:
  static TrainedModel train_workers(int workers, const Change& job, const char* device = "cuda") {
    return train_images([&](Config& c) {
      c.strategy = Strategy::sync;
      job(c);
      c.workers = workers;
      c.device = device;
    });
  }
};

// 150 samples in batches of 24: uneven shares at 5 workers, a last batch of 6.
TEST_F(ManyGpusImages, DeterministicIsBitwiseSerialInParts) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<double, Toggle>> ways = {
      {0.0, Toggle::on}, {1e-3, Toggle::on}, {1e-3, Toggle::off}, {infinity, Toggle::on}};
  for (const int workers : {2, 5}) {
    if (!have(workers)) continue;
    const std::string expected = train_images([&](Config& c) {
                                   c.device = "cuda";
                                   c.epochs = 1;
                                   c.accumulate = workers;
                                 }).result.parameters_sha256;
    for (const auto& [megabytes, overlap] : ways) {
      const TrainedModel trained = train_workers(workers, [&](Config& c) {
        c.epochs = 1;
        c.deterministic = true;
        c.bucket_mb = megabytes;
        c.overlap = overlap;
      });
      EXPECT_EQ(trained.result.parameters_sha256, expected)
          << workers << " workers, buckets of " << megabytes << " MB";
    }
  }
}

TEST_F(ManyGpusImages, SyncAndLocalSgdAreTheCpus) {
  const Change local = [](Config& c) {
    c.strategy = Strategy::local_sgd;
    c.sync_every = {SyncEvery::Kind::steps, 3};
  };
  const Change streamed = [](Config& c) { c.data_placement = DataPlacement::host; };
  for (const Change& job : {Change([](Config&) {}), local, streamed}) {
    const TrainedModel cpu = train_workers(3, job, "cpu");
    if (!have(3)) GTEST_SKIP() << "three GPUs";
    const TrainedModel gpu = train_workers(3, job);
    expect_close(gpu.checkpoint.values.span(), cpu.checkpoint.values.span(), 2e-5);
    EXPECT_NEAR(gpu.result.final_test->loss, cpu.result.final_test->loss, 2e-5);
  }
}

#ifdef LOCKSTEP_EMULATOR
// The linear layers hold nine tenths of the weights and a tenth of the arithmetic: what they send
// goes while the convolutions' backward computes, and next to nothing is left behind it.
TEST_F(ManyGpusImages, TheLinearLayersGradientsGoWhileConvolutionsCompute) {
  if (testing::under_thread_sanitizer()) GTEST_SKIP() << "others race the same code, in less time";
  testing::use_virtual_time();
  const auto train_network = [](const Change& change) {
    Dataset dataset = testing::make_dataset(64, 3 * 14 * 14, 10);
    dataset.image = ImageShape{3, 14, 14};
    Config config = testing::small_config();
    config.strategy = Strategy::sync;
    config.workers = 2;
    config.device = "cuda";
    config.epochs = 1;
    config.batch_size = 32;
    config.model.layers =
        "conv 8 3, relu, maxpool 2, conv 16 3, relu, maxpool 2, flatten, linear 96, relu, "
        "linear 10";
    change(config);
    const Model model =
        make_model(config.model, dataset.features(), dataset.classes, dataset.image);
    return train(resolve(config, dataset.train.size()), dataset, model);
  };
  emulator::set_communication_cost(0.0, 0.0);
  const Change buckets = [](Config& c) { c.bucket_mb = 0.005; };
  const RunResult free = train_network(buckets).result;
  const auto steps = static_cast<double>(free.steps);
  // As long as half of a step's computation, which is about what convolutions compute backward.
  const double bytes = static_cast<double>(free.communication.bytes) / 2 / steps;
  emulator::set_communication_cost(0.0, bytes / (0.5 * *free.time.compute / steps));
  const auto exposed = [&](const Change& change) {
    const PhaseSeconds time = train_network(change).result.time;
    return *time.exposed_communication / *time.communication;
  };
  EXPECT_LT(exposed(buckets), 0.05);
  EXPECT_GT(exposed([&](Config& c) {
              buckets(c);
              c.overlap = Toggle::off;
            }),
            0.5)
      << "without overlap updates alone hide something";
  EXPECT_GT(exposed([](Config& c) { c.bucket_mb = std::numeric_limits<double>::infinity(); }), 0.8);
}
#endif

}  // namespace
}  // namespace lockstep
