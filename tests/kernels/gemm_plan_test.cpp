#include "kernels/gemm_plan.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(GemmPlanTest, splits_cover_the_depth_and_none_is_empty) {
  for (const int multiprocessors : {1, 2, 8, 108, 132}) {
    for (const int rows : {1, 10, 32, 33, 128, 256, 8192}) {
      for (const int columns : {1, 10, 64, 256, 784}) {
        for (const int depth : {0, 1, 127, 256, 784, 1000, 8192, 100'003}) {
          const GemmPlan plan = plan_gemm(rows, columns, depth, multiprocessors);
          EXPECT_GE(plan.splits, 1);
          EXPECT_GE(plan.splits * static_cast<long long>(plan.depth_a_split), depth);
          EXPECT_EQ(plan.depth_a_split % 32, 0) << "splits begin at whole tiles";
          if (depth > 0) {
            EXPECT_LT((plan.splits - 1) * static_cast<long long>(plan.depth_a_split), depth);
          }
        }
      }
    }
  }
}

TEST(GemmPlanTest, small_batches_take_small_tiles_in_one_stage_unless_they_are_deep) {
  const GemmPlan shallow = plan_gemm(256, 128, 256, 132);
  EXPECT_FALSE(shallow.large);
  EXPECT_EQ(shallow.splits, 1);
  const GemmPlan deep = plan_gemm(32, 256, 784, 132);
  EXPECT_FALSE(deep.large);
  EXPECT_GT(deep.splits, 4);
}

TEST(GemmPlanTest, large_batches_take_large_tiles) {
  EXPECT_TRUE(plan_gemm(8192, 256, 784, 132).large);
  EXPECT_EQ(plan_gemm(8192, 256, 784, 132).splits, 1);
  const GemmPlan gradient = plan_gemm(256, 784, 8192, 132);
  EXPECT_TRUE(gradient.large);
  EXPECT_GE(gradient.splits * 26, 132);
  EXPECT_FALSE(plan_gemm(8192, 10, 128, 132).large) << "most of a large tile would be empty";
}

}  // namespace
}  // namespace lockstep
