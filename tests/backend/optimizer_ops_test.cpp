#include "backend/optimizer_ops.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/fixtures.h"
#include "backend/simd_targets.h"
#include "reference/optimizer.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kAwkward;
using testing::normals;

std::vector<OptimizerConfig> configurations() {
  OptimizerConfig plain;
  plain.weight_decay = 1e-3;
  OptimizerConfig momentum = plain;
  momentum.momentum = 0.9;
  OptimizerConfig nesterov = momentum;
  nesterov.nesterov = true;
  OptimizerConfig adam;
  adam.kind = OptimizerKind::adam;
  adam.learning_rate = 1e-2;
  adam.weight_decay = 1e-3;
  OptimizerConfig adamw = adam;
  adamw.kind = OptimizerKind::adamw;
  return {plain, momentum, nesterov, adam, adamw};
}

TEST(OptimizerOps, FollowTheOracleOverSeveralSteps) {
  for_each_target([] {
    for (const OptimizerConfig& config : configurations()) {
      for (const size_t size : kAwkward) {
        std::vector<float> values = normals(size, 1), first(size), second(size);
        std::vector<double> expected(values.begin(), values.end());
        reference::OptimizerState state;
        for (int64_t step = 0; step < 5; ++step) {
          const std::vector<float> gradients =
              normals(size, 10 + static_cast<uint32_t>(step), 8.0f);
          const UpdateScalars scalars = update_scalars(config, config.learning_rate, step, 16);
          apply_update(update_rule(config), scalars,
                       {values.data(), gradients.data(), first.data(), second.data()}, size);
          reference::update(config, step, 16,
                            std::vector<double>(gradients.begin(), gradients.end()), expected,
                            state);
        }
        for (size_t i = 0; i < size; ++i) {
          EXPECT_NEAR(values[i], expected[i], 1e-5 + 1.3e-6 * std::fabs(expected[i]));
        }
      }
    }
  });
}

TEST(OptimizerOps, CuttingARangeElsewhereChangesNoBits) {
  for_each_target([] {
    for (const OptimizerConfig& config : configurations()) {
      const std::vector<float> gradients = normals(100, 2);
      const UpdateScalars scalars = update_scalars(config, config.learning_rate, 2, 4);
      std::vector<float> values = normals(100, 1), first = normals(100, 3);
      std::vector<float> second(100, 0.5f);
      std::vector<float> cut_values = values, cut_first = first, cut_second = second;
      apply_update(update_rule(config), scalars,
                   {values.data(), gradients.data(), first.data(), second.data()}, 100);
      for (const auto& [begin, end] : {std::pair{0, 13}, std::pair{13, 45}, std::pair{45, 100}}) {
        apply_update(update_rule(config), scalars,
                     {&cut_values[begin], &gradients[begin], &cut_first[begin], &cut_second[begin]},
                     end - begin);
      }
      EXPECT_EQ(cut_values, values);
      EXPECT_EQ(cut_first, first);
      EXPECT_EQ(cut_second, second);
    }
  });
}

// The flat buffer's padding stays zero whatever the optimizer: it has no gradient and no weight.
TEST(OptimizerOps, ZeroStaysZero) {
  for_each_target([] {
    for (const OptimizerConfig& config : configurations()) {
      std::vector<float> values(32), gradients(32), first(32), second(32);
      for (int64_t step = 0; step < 3; ++step) {
        apply_update(update_rule(config), update_scalars(config, 0.1, step, 8),
                     {values.data(), gradients.data(), first.data(), second.data()}, 32);
      }
      EXPECT_EQ(values, std::vector<float>(32));
    }
  });
}

}  // namespace
}  // namespace lockstep
