#include "kernels/value_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/op_fixture.h"

namespace lockstep::testing {
namespace {

using ValueSummaryTest = KernelTest;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST_F(ValueSummaryTest, counts_what_is_not_finite_and_finds_the_largest_of_the_rest) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{31}, std::size_t{4097}}) {
    std::vector<float> values = normals(static_cast<std::int64_t>(n), 3);
    values[n / 2] = -1e30F;
    ValueSummary summary = summarize(to_device(values), n, stream_);
    EXPECT_EQ(summary.not_finite, 0);
    EXPECT_EQ(summary.largest, 1e30F);

    values[n / 2] = -kInfinity;
    values[n - 1] = kNan;
    summary = summarize(to_device(values), n, stream_);
    std::int64_t bad = 0;
    float largest = 0;
    for (const float value : values) {
      bad += std::isfinite(value) ? 0 : 1;
      if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    }
    EXPECT_EQ(summary.not_finite, bad);
    EXPECT_EQ(summary.largest, largest);
  }
}

TEST_F(ValueSummaryTest, the_largest_float_is_finite_and_nothing_holds_nothing) {
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(summarize(to_device(std::vector<float>{-largest}), 1, stream_).largest, largest);
  const ValueSummary none = summarize(nullptr, 0, stream_);
  EXPECT_EQ(none.not_finite, 0);
  EXPECT_EQ(none.largest, 0.0F);
}

TEST_F(ValueSummaryTest, is_of_what_the_stream_has_written_before) {
  constexpr std::size_t kCount = 1 << 16;
  float* values = to_device(std::vector<float>(kCount));
  for (int k = 0; k < 5; ++k) {
    const int byte = k % 2 == 0 ? 0xff : 0x00;  // NaN, or 0
    check(cudaMemsetAsync(values, byte, kCount * sizeof(float), stream_), "cudaMemsetAsync");
    const ValueSummary summary = summarize(values, kCount, stream_);
    EXPECT_EQ(summary.not_finite, byte == 0 ? 0 : static_cast<std::int64_t>(kCount));
  }
}

}  // namespace
}  // namespace lockstep::testing
