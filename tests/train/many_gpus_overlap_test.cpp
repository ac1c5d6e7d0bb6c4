// Communication that is as slow as backward, and how much of it computation hides: in virtual time,
// which is the same in every run and on every machine.
#include <gtest/gtest.h>

#include <limits>

#include "emulator/communication.h"
#include "many_gpus.h"

namespace lockstep {
namespace {

using testing::Change;
using testing::make_dataset;

class ManyGpusOverlap : public testing::ManyGpusTest, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    if (testing::under_thread_sanitizer())
      GTEST_SKIP() << "others race the same code, in less time";
    ManyGpusTest::SetUp();
    testing::use_virtual_time();
  }

  // Exposed communication as a fraction of all.
  double exposed(const Dataset& dataset, const Change& job) const {
    const TrainedModel trained = train_gpus(dataset, workers_, job);
    const PhaseSeconds& time = trained.result.time;
    return *time.exposed_communication / *time.communication;
  }

  // Makes communication take as long as backward, which is two of the three products of a layer.
  void slow_down(const Dataset& dataset, const Change& job) const {
    emulator::set_communication_cost(0.0, 0.0);
    const RunResult free = train_gpus(dataset, workers_, job).result;
    const auto steps = static_cast<double>(free.steps);
    const double backward = *free.time.compute / steps * 2.0 / 3.0;
    const double bytes = static_cast<double>(free.communication.bytes) / workers_ / steps;
    emulator::set_communication_cost(0.0, bytes / backward);
  }

  const int workers_ = GetParam();
  static constexpr double kHidden = 0.3, kNotHidden = 0.8;
};

TEST_P(ManyGpusOverlap, SixEqualLayersHideMostOfIt) {
  const Dataset dataset = make_dataset(128 * workers_, 64, 64);
  const Change job = [&](Config& c) {
    c.model.hidden = {64, 64, 64, 64, 64};
    c.batch_size = 64 * workers_;
    c.epochs = 1;
    c.bucket_mb = 0.0166;  // a layer
  };
  slow_down(dataset, job);
  const double overlapped = exposed(dataset, job);
  EXPECT_LT(overlapped, kHidden);
  EXPECT_EQ(exposed(dataset, job), overlapped) << "another run takes the same time";
  const double after = exposed(dataset, [&](Config& c) {
    job(c);
    c.overlap = Toggle::off;
  });
  EXPECT_GT(after, kNotHidden) << "without overlap updates alone hide something";
}

// Most of its parameters are the first layer's, whose gradient is computed last: it leaves in
// slabs.
TEST_P(ManyGpusOverlap, SlabsHideMostOfItWhereTheFirstLayerIsTheLargest) {
  const Dataset dataset = make_dataset(48 * workers_, 784, 10);
  const Change job = [&](Config& c) {
    c.model.hidden = {256, 128};
    c.batch_size = 24 * workers_;
    c.epochs = 1;
    c.bucket_mb = 0.1;
  };
  slow_down(dataset, job);
  EXPECT_LT(exposed(dataset, job), kHidden);
  const double in_one = exposed(dataset, [&](Config& c) {
    job(c);
    c.bucket_mb = std::numeric_limits<double>::infinity();
  });
  EXPECT_GT(in_one, kNotHidden);
}

INSTANTIATE_TEST_SUITE_P(workers, ManyGpusOverlap, ::testing::Values(2, 4));

}  // namespace
}  // namespace lockstep
