// The progress bar: what it shows, that it fits, and how it judges the time left.
#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

Progress halfway() {
  Progress progress;
  progress.epoch = 3;
  progress.epochs = 4;
  progress.step = 0;
  progress.steps_per_epoch = 100;
  progress.loss = 0.125;
  progress.samples_per_second = 117345.0;
  return progress;
}

TEST(ProgressBar, shows_epoch_share_loss_speed_and_eta) {
  const std::string line = progress_line("", halfway(), 12.0, 120);
  EXPECT_THAT(line, HasSubstr("epoch 3/4"));
  EXPECT_THAT(line, HasSubstr("50 %"));
  EXPECT_THAT(line, HasSubstr("loss 0.1250"));
  EXPECT_THAT(line, HasSubstr("117 k samples/s"));
  EXPECT_THAT(line, HasSubstr("ETA 12.0 s"));
  EXPECT_THAT(line, HasSubstr("[===============>              ]"));
}

TEST(ProgressBar, never_fills_the_last_column) {
  for (const int width : {10, 40, 60, 79, 80, 81, 120, 300}) {
    EXPECT_LT(progress_line("sync:2 run 1", halfway(), 12.0, width).size(),
              static_cast<size_t>(width));
  }
}

TEST(ProgressBar, says_nothing_of_an_eta_that_is_not_known) {
  EXPECT_THAT(progress_line("", halfway(), -1.0, 120), Not(HasSubstr("ETA")));
}

TEST(Eta, extends_the_pace_since_the_run_was_first_seen) {
  EtaClock clock;
  Progress progress = halfway();  // a resumed run: half was there before
  EXPECT_LT(clock.eta(progress, 100.0), 0.0);
  progress.step = 50;  // an eighth of all in 10 s: three eighths are left
  EXPECT_NEAR(clock.eta(progress, 110.0), 30.0, 1e-9);
}

TEST(EpochLine, aligns_numbers_and_leaves_out_what_was_not_tested) {
  EpochRecord epoch{3, 0.1, 0.5, 0.75, std::nullopt, 0.25};
  EXPECT_EQ(epoch_line(epoch, 10), "epoch  3/10  loss 0.5000, accuracy 0.7500  250 ms");
  epoch.test = Evaluation{0.25, 0.875};
  EXPECT_THAT(epoch_line(epoch, 10), HasSubstr("test loss 0.2500, accuracy 0.8750"));
}

}  // namespace
}  // namespace lockstep::cli
