#include "kernels/step_state.h"

#include <atomic>

#include "kernels/op_fixture.h"

namespace lockstep {
namespace {

class StepStateTest : public testing::KernelTest {
 protected:
  StepReport* new_report() {
    StepReport* report = nullptr;
    check(cudaHostAlloc(&report, sizeof(StepReport), cudaHostAllocMapped), "cudaHostAlloc");
    *report = {};
    return report;
  }

  StepReport* as_the_device_sees_it(StepReport* report) {
    void* pointer = nullptr;
    check(cudaHostGetDevicePointer(&pointer, report, 0), "cudaHostGetDevicePointer");
    return static_cast<StepReport*>(pointer);
  }
};

TEST_F(StepStateTest, an_epoch_begins_where_it_is_told_to) {
  StepState* state = testing::step_state(1, 0, 17);
  start_epoch(state, {.epoch = 3, .keys = permutation_keys(8, 3), .batch = 2, .step = 44}, stream_);
  const StepState started = testing::from_device(state, 1)[0];
  EXPECT_EQ(started.epoch, 3u);
  EXPECT_EQ(started.batch, 2);
  EXPECT_EQ(started.step, 44);
  EXPECT_EQ(started.keys.words[15], permutation_keys(8, 3).words[15]);
  EXPECT_EQ(started.metrics.count, 0);
  EXPECT_EQ(started.first_bad_step, -1);
}

TEST_F(StepStateTest, a_new_epoch_forgets_metrics_and_not_divergence) {
  StepState before;
  before.metrics = {1.5, 2, 3};
  before.first_bad_step = 5;
  StepState* state = testing::to_device(std::vector<StepState>{before});
  start_epoch(state, {}, stream_);
  const StepState started = testing::from_device(state, 1)[0];
  EXPECT_EQ(started.metrics.loss, 0.0);
  EXPECT_EQ(started.metrics.correct, 0);
  EXPECT_EQ(started.metrics.count, 0);
  EXPECT_EQ(started.first_bad_step, 5);
}

// The host reads records while later steps run: those it has not read yet stay.
TEST_F(StepStateTest, the_host_reads_each_steps_record_while_later_steps_run) {
  StepReport* report = new_report();
  StepState before;
  before.metrics = {0.5, 7, 9};
  StepState* state = testing::to_device(std::vector<StepState>{before});
  const StepPointers step{.state = state, .report = as_the_device_sees_it(report)};
  constexpr std::int64_t kSteps = 300, kAhead = 64;
  std::int64_t launched = 0;
  for (std::int64_t wanted = 0; wanted < kSteps; ++wanted) {
    for (; launched < std::min(kSteps, wanted + kAhead); ++launched) advance_step(step, stream_);
    const std::atomic_ref<unsigned> steps(report->steps);
    while (static_cast<int>(steps.load(std::memory_order_acquire) - (wanted + 1)) < 0) {
    }
    EXPECT_EQ(report->of(wanted).step, wanted);
    EXPECT_EQ(report->of(wanted).metrics.correct, 7);
    EXPECT_EQ(report->of(wanted).first_bad_step, -1);
  }
  EXPECT_EQ(testing::from_device(state, 1)[0].batch, kSteps);
}

}  // namespace
}  // namespace lockstep
