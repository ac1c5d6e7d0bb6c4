#include "lockstep/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/error.h"

namespace lockstep {
namespace {

TEST(Schedule, ConstantUsesTheScaledRateFromTheStartWithoutWarmUp) {
  const Schedule schedule({}, 0.1, 4.0, 10, 100);
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.4);
  EXPECT_DOUBLE_EQ(schedule.at(999), 0.4);
}

TEST(Schedule, WarmUpGoesStepByStepFromTheRateToTheScaledRate) {
  const Schedule schedule({.warmup_epochs = 2.0}, 0.1, 8.0, 10, 10);
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(1), 0.1 + 0.7 / 20);
  EXPECT_DOUBLE_EQ(schedule.at(10), 0.45);
  EXPECT_DOUBLE_EQ(schedule.at(19), 0.1 + 0.7 * 19 / 20);
  EXPECT_DOUBLE_EQ(schedule.at(20), 0.8);
  EXPECT_DOUBLE_EQ(schedule.at(99), 0.8);
}

TEST(Schedule, WarmUpWithoutScalingChangesNothing) {
  const Schedule schedule({.warmup_epochs = 1.0}, 0.1, 1.0, 8, 31);
  for (int step = 0; step < 8 * 31; ++step) EXPECT_EQ(schedule.at(step), 0.1);
}

TEST(Schedule, WarmUpOfHalfAnEpochEndsInsideIt) {
  const Schedule schedule({.warmup_epochs = 0.5}, 1.0, 3.0, 2, 8);
  EXPECT_DOUBLE_EQ(schedule.at(2), 2.0);
  EXPECT_DOUBLE_EQ(schedule.at(4), 3.0);
}

TEST(Schedule, CosineFallsToZeroOverThePlannedLength) {
  const Schedule schedule({.kind = ScheduleKind::cosine}, 0.2, 1.0, 10, 10);
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.2);
  EXPECT_NEAR(schedule.at(50), 0.1, 1e-15);
  EXPECT_NEAR(schedule.at(25), 0.1 * (1.0 + std::sqrt(0.5)), 1e-15);
  EXPECT_GT(schedule.at(99), 0.0);
  EXPECT_EQ(schedule.at(100), 0.0);
  EXPECT_EQ(schedule.at(1000), 0.0);
}

TEST(Schedule, CosineStartsWhereTheWarmUpEnds) {
  const Schedule schedule({.kind = ScheduleKind::cosine, .warmup_epochs = 2.0}, 0.1, 2.0, 10, 10);
  EXPECT_DOUBLE_EQ(schedule.at(10), 0.15);
  EXPECT_DOUBLE_EQ(schedule.at(20), 0.2);
  EXPECT_NEAR(schedule.at(60), 0.1, 1e-15);
  EXPECT_EQ(schedule.at(100), 0.0);
}

TEST(Schedule, WarmUpLongerThanTheRunNeverReachesTheCosine) {
  const Schedule schedule({.kind = ScheduleKind::cosine, .warmup_epochs = 5.0}, 1.0, 2.0, 2, 10);
  EXPECT_DOUBLE_EQ(schedule.at(19), 1.0 + 19.0 / 50);
  EXPECT_EQ(schedule.at(50), 0.0);
}

TEST(Schedule, StepMultipliesEverySoManyEpochs) {
  const Schedule schedule({.kind = ScheduleKind::step, .step_epochs = 3, .step_factor = 0.5}, 0.8,
                          1.0, 10, 7);
  EXPECT_EQ(schedule.at(0), 0.8);
  EXPECT_EQ(schedule.at(3 * 7 - 1), 0.8);
  EXPECT_EQ(schedule.at(3 * 7), 0.4);
  EXPECT_EQ(schedule.at(6 * 7), 0.2);
  EXPECT_EQ(schedule.at(10 * 7 - 1), 0.1);
}

TEST(Schedule, RefusesAnEmptyPeriodAndANegativeWarmUp) {
  EXPECT_THROW(Schedule({.kind = ScheduleKind::step}, 0.1, 1.0, 1, 1), Error);
  EXPECT_THROW(Schedule({.warmup_epochs = -1.0}, 0.1, 1.0, 1, 1), Error);
  EXPECT_THROW(Schedule({.warmup_epochs = std::nan("")}, 0.1, 1.0, 1, 1), Error);
}

TEST(UpdateScalars, SgdCarriesRateMomentumDecayAndTheBatchCount) {
  const OptimizerConfig config{.momentum = 0.9, .weight_decay = 1e-4};
  const UpdateScalars scalars = update_scalars(config, 0.05, 7, 96);
  EXPECT_EQ(scalars.learning_rate, 0.05f);
  EXPECT_EQ(scalars.gradient_scale, static_cast<float>(1.0 / 96));
  EXPECT_EQ(scalars.momentum, 0.9f);
  EXPECT_EQ(scalars.weight_decay, 1e-4f);
  EXPECT_EQ(scalars.decoupled_decay, 0.0f);
}

TEST(UpdateScalars, AdamCorrectsTheBiasOfBothMoments) {
  const OptimizerConfig config{.kind = OptimizerKind::adam, .weight_decay = 1e-5};
  const UpdateScalars first = update_scalars(config, 1e-3, 0, 32);
  EXPECT_FLOAT_EQ(first.step_size, 1e-2f);
  EXPECT_FLOAT_EQ(first.inverse_sqrt_correction2, static_cast<float>(1.0 / std::sqrt(1e-3)));
  EXPECT_EQ(first.weight_decay, 1e-5f);
  EXPECT_EQ(first.momentum, 0.0f);

  const UpdateScalars third = update_scalars(config, 1e-3, 2, 32);
  EXPECT_FLOAT_EQ(third.step_size, static_cast<float>(1e-3 / (1.0 - 0.9 * 0.9 * 0.9)));
  EXPECT_FLOAT_EQ(third.inverse_sqrt_correction2,
                  static_cast<float>(1.0 / std::sqrt(1.0 - 0.999 * 0.999 * 0.999)));

  const UpdateScalars late = update_scalars(config, 1e-3, 1'000'000, 32);
  EXPECT_EQ(late.step_size, 1e-3f);
  EXPECT_EQ(late.inverse_sqrt_correction2, 1.0f);
}

TEST(UpdateScalars, AdamWDecaysTheWeightAndNotTheGradient) {
  const OptimizerConfig config{.kind = OptimizerKind::adamw, .weight_decay = 0.01};
  const UpdateScalars scalars = update_scalars(config, 0.002, 0, 1);
  EXPECT_EQ(scalars.weight_decay, 0.0f);
  EXPECT_EQ(scalars.decoupled_decay, static_cast<float>(0.002 * 0.01));
}

}  // namespace
}  // namespace lockstep
