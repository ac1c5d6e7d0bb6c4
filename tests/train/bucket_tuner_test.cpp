#include "train/bucket_tuner.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/model.h"

namespace lockstep {
namespace {

ParameterLayout wide_layout() {
  return ParameterLayout(make_mlp(784, {512, 256}, 10, 0.0));
}

TEST(BucketTuner, KeepsTheSizeWhoseStepsWereFastest) {
  BucketTuner tuner(wide_layout(), std::nullopt, 10000);
  int steps = 0;
  // As if 256 KiB were best.
  while (!tuner.step_done(std::abs(tuner.bytes() - 262144.0))) ASSERT_LT(++steps, 100);
  tuner.settle(tuner.fastest());
  EXPECT_EQ(tuner.bytes(), 262144.0);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(tuner.step_done(0.0));
  EXPECT_EQ(tuner.bytes(), 262144.0);
}

TEST(BucketTuner, AGivenSizeAndAShortRunAreNotTuned) {
  BucketTuner given(wide_layout(), 5000.0, 10000);
  BucketTuner brief(wide_layout(), std::nullopt, 20);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(given.step_done(1.0));
    EXPECT_FALSE(brief.step_done(1.0));
  }
  EXPECT_EQ(given.bytes(), 5000.0);
}

}  // namespace
}  // namespace lockstep
