// A step that is captured with its collectives, as one process a GPU runs it. Here the processes
// are threads, which the emulator's NCCL lets capture at the same time.
#include <gtest/gtest.h>

#include <thread>

#include "backend/cuda_collectives.h"
#include "comm/bucket_plan.h"
#include "lockstep/backend.h"
#include "many_gpus.h"

namespace lockstep {
namespace {

using testing::make_dataset;

class ManyGpusCaptured : public testing::ManyGpusTest {
 protected:
  static constexpr int64_t kBatch = 24;

  // Weights after two epochs of `workers` steps that work together.
  std::vector<float> weights_after(int workers, const DeviceExchange& exchange,
                                   double bucket_bytes) const {
    const auto group = make_device_group({.id = new_device_group_id(),
                                          .members = workers,
                                          .world_size = workers,
                                          .stopped = [] { return false; },
                                          .give_up = {}});
    std::vector<std::vector<float>> results(static_cast<size_t>(workers));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < workers; ++rank) {
      threads.emplace_back([&, rank] {
        (void)gpu_memory(rank);
        const auto communicator = group->join(rank);
        results[rank] = train(*communicator, exchange, bucket_bytes);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::vector<float>& result : results) EXPECT_EQ(result, results[0]);
    return results[0];
  }

 private:
  std::vector<float> train(DeviceCommunicator& communicator, DeviceExchange exchange,
                           double bucket_bytes) const {
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
    job.rank = communicator.rank();
    job.world_size = communicator.size();
    job.exchange = exchange;
    EpochStep& epochs = *step->epoch_step();
    epochs.prepare(job);
    epochs.shared_step()->use_buckets(plan_buckets(layout, bucket_bytes));
    EXPECT_GT(epochs.shared_step()->try_step(), 0.0);
    const int64_t batches = sampler_.batches(kBatch);
    for (uint32_t epoch = 0; epoch < 2; ++epoch) {
      std::vector<UpdateScalars> scalars;
      for (int64_t k = 0; k < batches; ++k) {
        scalars.push_back(
            update_scalars(options.optimizer, 0.05, epoch * batches + k, job.batch(k).size()));
      }
      epochs.begin_epoch({epoch, 0, epoch * batches, scalars});
      for (int64_t k = 0; k < batches; ++k) epochs.train_next();
      epochs.settle();
    }
    const StepSeconds seconds = step->seconds();
    EXPECT_GT(seconds.communication, 0.0);
    EXPECT_GT(seconds.exposed_communication, 0.0);
    epochs.write_back();
    return values;
  }

  const Dataset dataset_ = make_dataset();
  const Model model_ = make_model(testing::small_config().model, 13, 4);
  const Sampler sampler_{203, 1, Shuffle::epoch};
};

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
