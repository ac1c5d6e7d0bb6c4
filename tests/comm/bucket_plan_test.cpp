#include "comm/bucket_plan.h"

#include <gtest/gtest.h>

#include <limits>

namespace lockstep {
namespace {

ParameterLayout small_layout() {
  return ParameterLayout(make_mlp(20, {33, 7}, 3, 0.0));
}

void expect_descending_cover(const std::vector<Range>& plan, size_t size) {
  size_t end = size;
  for (const Range& bucket : plan) {
    EXPECT_EQ(bucket.end, end);
    EXPECT_LT(bucket.begin, bucket.end);
    EXPECT_EQ(bucket.begin % kPadFloats, 0u);
    end = bucket.begin;
  }
  EXPECT_EQ(end, 0u);
}

TEST(BucketPlan, CoversTheWholeBufferFromTheEndAtEverySize) {
  const ParameterLayout layout = small_layout();
  for (const double bytes :
       {0.0, 1.0, 128.0, 300.0, 4096.0, 1e9, std::numeric_limits<double>::infinity()}) {
    expect_descending_cover(plan_buckets(layout, bytes), layout.size());
  }
}

TEST(BucketPlan, InfinityIsOneBucketAndZeroIsOneATensor) {
  const ParameterLayout layout = small_layout();
  EXPECT_EQ(plan_buckets(layout, std::numeric_limits<double>::infinity()).size(), 1u);
  EXPECT_EQ(plan_buckets(layout, 0.0).size(), layout.tensors().size());
}

TEST(BucketPlan, BucketsStayWithinTheirSize) {
  const ParameterLayout layout = small_layout();
  for (const Range& bucket : plan_buckets(layout, 300.0)) EXPECT_LE(4 * bucket.size(), 300u);
}

TEST(BucketCursor, HandsOutABucketOnceEverythingInItIsFinal) {
  const std::vector<Range> plan = {{96, 128}, {32, 96}, {0, 32}};
  BucketCursor cursor;
  cursor.start(plan);
  EXPECT_FALSE(cursor.next_complete(128));
  EXPECT_EQ(cursor.next_complete(64), (Range{96, 128}));
  EXPECT_FALSE(cursor.next_complete(64));
  EXPECT_EQ(cursor.next_complete(0), (Range{32, 96}));
  EXPECT_EQ(cursor.next_complete(0), (Range{0, 32}));
  EXPECT_FALSE(cursor.next_complete(0));
}

}  // namespace
}  // namespace lockstep
