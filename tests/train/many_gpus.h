// Trainings on several GPUs, for tests.
#pragma once

#include <string>
#include <vector>

#include "comm/device_group.h"
#include "device/device.h"
#include "lockstep/device.h"
#include "small_job.h"

namespace lockstep::testing {

class ManyGpusTest : public DeviceTest {
 protected:
  static constexpr int kMostGpus = 8;

  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    if (nccl_version().empty()) GTEST_SKIP() << "this build has no NCCL";
    if (!have(2)) GTEST_SKIP() << "one GPU alone";
    renew_devices(kMostGpus);
  }

  // A test of more GPUs than there are is left out by its caller.
  static bool have(int gpus) {
    return kEmulated || static_cast<int>(survey_gpus().gpus.size()) >= gpus;
  }

  static TrainedModel train_gpus(const Dataset& dataset, int workers, const Change& job,
                                 const Checkpoint* resume = nullptr) {
    return train_small(
        dataset,
        [&](Config& c) {
          c.strategy = Strategy::sync;
          job(c);
          c.workers = workers;
          c.device = "cuda";
        },
        resume);
  }

  // What W workers are to give bit for bit.
  static TrainedModel train_parts(const Dataset& dataset, int parts, const Change& job) {
    return train_small(dataset, [&](Config& c) {
      job(c);
      c.strategy = Strategy::serial;
      c.bucket_mb.reset();
      c.overlap = Toggle::on;
      c.deterministic = false;
      c.accumulate = parts;
      c.device = "cuda";
    });
  }
};

inline std::string option_of(const TrainedModel& trained, const std::string& name) {
  for (const auto& [key, value] : trained.result.strategy_options) {
    if (key == name) return value;
  }
  return "none";
}

}  // namespace lockstep::testing
