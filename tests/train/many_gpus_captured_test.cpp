// A step that is captured with its collectives, as one process a GPU runs it. Here the processes
// are threads, which the emulator's NCCL lets capture at the same time.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "backend/cuda_collectives.h"
#include "comm/bucket_plan.h"
#include "comm/wait.h"
#include "lockstep/backend.h"
#include "lockstep/error.h"
#include "many_gpus.h"

namespace lockstep {
namespace {

using testing::make_dataset;

class ManyGpusCaptured : public testing::ManyGpusTest {
 protected:
  static constexpr int64_t kBatch = 24;

  // Weights after two epochs of `workers` steps that work together.
  std::vector<float> weights_after(int workers, const DeviceExchange& exchange,
                                   double bucket_bytes) {
    failed_ = false;
    const auto group = make_device_group({.id = new_device_group_id(),
                                          .members = workers,
                                          .world_size = workers,
                                          .stopped = [&] { return failed_.load(); },
                                          .give_up = {}});
    std::vector<std::vector<float>> results(static_cast<size_t>(workers));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < workers; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          (void)gpu_memory(rank);
          const auto communicator = group->join(rank);
          results[rank] = train(*communicator, exchange, bucket_bytes);
        } catch (const PeerAborted&) {
        } catch (const Error& error) {
          const std::lock_guard lock(mutex_);
          error_ = error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::vector<float>& result : results) EXPECT_EQ(result, results[0]);
    return results[0];
  }

  int64_t other_batch_of_rank_1_ = 0;  // 0: the same
  std::string error_;
  std::set<int64_t> first_bad_steps_;  // what the ranks say
  std::mutex mutex_;
  std::atomic<bool> failed_{false};

  void spoil(int64_t sample) {
    auto* features = static_cast<float*>(const_cast<void*>(dataset_.train.features.data));
    features[sample * kColumns] = std::numeric_limits<float>::quiet_NaN();
  }

  static constexpr int64_t kColumns = 13;
  const Sampler sampler_{203, 1, Shuffle::epoch};

 private:
  std::vector<float> train(DeviceCommunicator& communicator, DeviceExchange exchange,
                           double bucket_bytes) {
    const ParameterLayout layout(model_);
    std::vector<float> values(layout.size()), state(layout.size());
    initialize(model_, layout, 1, values);
    StepOptions options;
    options.max_batch = kBatch;
    options.optimizer.momentum = 0.9;
    const auto backend = make_cuda_backend(communicator.rank());
    const auto step =
        backend->compile(model_, layout, dataset_.normalization, {values, {}, state}, options);
    exchange.communicator = &communicator;
    EpochJob job;
    job.data = &dataset_.train;
    job.sampler = &sampler_;
    job.global_batch = kBatch;
    if (communicator.rank() == 1 && other_batch_of_rank_1_)
      job.global_batch = other_batch_of_rank_1_;
    job.rank = communicator.rank();
    job.world_size = communicator.size();
    job.exchange = exchange;
    EpochStep& epochs = *step->epoch_step();
    epochs.prepare(job);
    epochs.shared_step()->use_buckets(plan_buckets(layout, bucket_bytes));
    EXPECT_GT(epochs.shared_step()->try_step(), 0.0);
    try {
      train_epochs(epochs, job, options.optimizer);
    } catch (...) {
      failed_ = true;  // peers are to leave their sums before anything here waits for the device
      throw;
    }
    const StepSeconds seconds = step->seconds();
    EXPECT_GT(seconds.communication, 0.0);
    EXPECT_GT(seconds.exposed_communication, 0.0);
    epochs.write_back();
    const std::lock_guard lock(mutex_);
    first_bad_steps_.insert(epochs.first_bad_step());
    return values;
  }

  void train_epochs(EpochStep& epochs, const EpochJob& job,
                    const OptimizerConfig& optimizer) const {
    const int64_t batches = sampler_.batches(job.global_batch);
    for (uint32_t epoch = 0; epoch < 2; ++epoch) {
      std::vector<UpdateScalars> scalars;
      for (int64_t k = 0; k < batches; ++k) {
        scalars.push_back(
            update_scalars(optimizer, 0.05, epoch * batches + k, job.batch(k).size()));
      }
      epochs.begin_epoch({epoch, 0, epoch * batches, scalars});
      for (int64_t k = 0; k < batches; ++k) epochs.train_next();
      epochs.settle();
    }
  }

  Dataset dataset_ = make_dataset();
  const Model model_ = make_model(testing::small_config().model, kColumns, 4);
};

// A rank with another batch would train on something else: the sum of samples tells.
TEST_F(ManyGpusCaptured, SharesThatDoNotMakeUpABatchAreAnError) {
  other_batch_of_rank_1_ = 20;
  EXPECT_EQ(weights_after(2, {}, 1e9), std::vector<float>());
  EXPECT_NE(error_.find("add up to"), std::string::npos) << error_;
}

// One rank's loss is not finite: none takes that step, nor any after it.
TEST_F(ManyGpusCaptured, ALossThatIsNotFiniteStopsAllRanksAtTheSameStep) {
  constexpr int64_t kSample = 77;
  spoil(kSample);
  const std::vector<float> weights = weights_after(3, {}, 512.0);
  EXPECT_TRUE(std::ranges::all_of(weights, [](float value) { return std::isfinite(value); }));
  std::vector<int64_t> order(203);
  sampler_.fill(0, 0, order);
  const auto position = std::ranges::find(order, kSample) - order.begin();
  EXPECT_EQ(first_bad_steps_, std::set<int64_t>{position / kBatch});
}

TEST_F(ManyGpusCaptured, AStepWithItsCollectivesInOneGraphGivesTheSameBits) {
  for (const int workers : {2, 4}) {
    const std::vector<float> expected = weights_after(workers, {.ordered = true}, 512.0);
    for (const double bytes : {512.0, 1e9}) {
      EXPECT_EQ(weights_after(workers, {.ordered = true, .captured = true}, bytes), expected)
          << workers << " workers, buckets of " << bytes;
    }
  }
  EXPECT_EQ(weights_after(2, {.captured = true}, 512.0), weights_after(2, {}, 512.0));
}

}  // namespace
}  // namespace lockstep
