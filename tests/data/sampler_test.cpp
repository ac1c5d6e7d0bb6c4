#include "lockstep/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "lockstep/error.h"

namespace lockstep {
namespace {

using testing::ElementsAre;

std::vector<int64_t> epoch_order(const Sampler& sampler, uint32_t epoch) {
  std::vector<int64_t> order(sampler.size());
  sampler.fill(epoch, 0, order);
  return order;
}

class SamplerOfSize : public testing::TestWithParam<int64_t> {};

TEST_P(SamplerOfSize, visits_every_sample_once_an_epoch) {
  const Sampler sampler(GetParam(), 1, Shuffle::epoch);
  for (uint32_t epoch : {0u, 1u, 4'000'000'000u}) {
    std::vector<int64_t> order = epoch_order(sampler, epoch);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> all(GetParam());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all);
  }
}

TEST_P(SamplerOfSize, gives_the_same_order_in_pieces_and_one_by_one) {
  const Sampler sampler(GetParam(), 7, Shuffle::epoch);
  const std::vector<int64_t> whole = epoch_order(sampler, 3);
  std::vector<int64_t> pieces(whole.size());
  for (size_t begin = 0, length = 1; begin < whole.size(); begin += length, length = length * 3) {
    length = std::min(length, whole.size() - begin);
    sampler.fill(3, static_cast<int64_t>(begin), std::span(pieces).subspan(begin, length));
  }
  EXPECT_EQ(pieces, whole);
  for (size_t i = 0; i < whole.size(); i += 97) {
    EXPECT_EQ(sampler.at(3, static_cast<int64_t>(i)), whole[i]);
  }
}

TEST_P(SamplerOfSize, keeps_the_file_order_without_shuffling) {
  const Sampler sampler(GetParam(), 1, Shuffle::none);
  std::vector<int64_t> all(GetParam());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(epoch_order(sampler, 0), all);
  EXPECT_EQ(epoch_order(sampler, 9), all);
}

INSTANTIATE_TEST_SUITE_P(Sizes, SamplerOfSize, testing::Values(1, 2, 3, 7, 64, 1000, 99991));

TEST(Sampler, changes_its_order_with_epoch_and_seed) {
  const Sampler one(1000, 1, Shuffle::epoch);
  const Sampler two(1000, 2, Shuffle::epoch);
  const Sampler high(1000, 1 + (uint64_t{1} << 32), Shuffle::epoch);
  EXPECT_NE(epoch_order(one, 0), epoch_order(one, 1));
  EXPECT_NE(epoch_order(one, 0), epoch_order(two, 0));
  EXPECT_NE(epoch_order(one, 0), epoch_order(high, 0));
  EXPECT_EQ(epoch_order(one, 5), epoch_order(Sampler(1000, 1, Shuffle::epoch), 5));
}

// These values are a promise: a run resumed by a later version must see the same samples.
TEST(Sampler, keeps_its_order_between_versions) {
  const auto head = [](int64_t n, uint64_t seed, uint32_t epoch) {
    std::vector<int64_t> order(8);
    Sampler(n, seed, Shuffle::epoch).fill(epoch, 0, order);
    return order;
  };
  EXPECT_THAT(head(10, 1, 0), ElementsAre(7, 8, 1, 4, 5, 9, 6, 2));
  EXPECT_THAT(head(60000, 1, 0), ElementsAre(44142, 47908, 1035, 53257, 49490, 4156, 50844, 42495));
  EXPECT_THAT(head(60000, 1, 1),
              ElementsAre(28921, 44263, 45379, 42938, 23789, 22882, 25310, 19078));
  EXPECT_THAT(head(60000, 0x123456789ABCDEFu, 0),
              ElementsAre(20022, 59075, 58995, 12799, 30794, 18670, 41408, 44458));
  EXPECT_THAT(head(int64_t{3} << 40, 1, 0),
              ElementsAre(1992093966762, 1346970365728, 1394499319083, 2888065410200, 1646846271307,
                          1112383116039, 2080099998577, 1945347557674));
}

TEST(Sampler, cuts_an_epoch_into_batches_with_a_short_last_one) {
  const Sampler sampler(10, 1, Shuffle::epoch);
  EXPECT_EQ(sampler.batches(4), 3);
  EXPECT_EQ(sampler.batches(5), 2);
  EXPECT_EQ(sampler.batches(100), 1);
  EXPECT_EQ(sampler.batch(0, 4), (IndexRange{0, 4}));
  EXPECT_EQ(sampler.batch(2, 4), (IndexRange{8, 10}));
  EXPECT_EQ(sampler.batch(0, 100), (IndexRange{0, 10}));
}

TEST(Sampler, refuses_an_empty_data_set) {
  EXPECT_THROW(Sampler(0, 1, Shuffle::epoch), Error);
}

// The contract of all execution modes: global batch k is the same list of samples, in the same
// order, however many workers take shares of it.
TEST(Sampler, gives_the_same_global_batches_at_every_world_size) {
  const Sampler sampler(1003, 11, Shuffle::epoch);
  constexpr int64_t kGlobalBatch = 64;
  for (uint32_t epoch : {0u, 1u}) {
    for (int64_t k = 0; k < sampler.batches(kGlobalBatch); ++k) {
      const IndexRange batch = sampler.batch(k, kGlobalBatch);
      std::vector<int64_t> reference(batch.size());
      sampler.fill(epoch, batch.begin, reference);
      for (int world_size : {1, 2, 3, 7, 100}) {
        std::vector<int64_t> joined;
        for (int rank = 0; rank < world_size; ++rank) {
          const IndexRange share = share_of(batch, rank, world_size);
          std::vector<int64_t> samples(share.size());
          sampler.fill(epoch, share.begin, samples);
          joined.insert(joined.end(), samples.begin(), samples.end());
        }
        ASSERT_EQ(joined, reference) << "batch " << k << ", W = " << world_size;
      }
    }
  }
}

TEST(ShareOf, follows_the_documented_formula) {
  for (int64_t size : {0, 1, 5, 64, 1000}) {
    for (int world_size : {1, 2, 3, 7}) {
      for (int rank = 0; rank < world_size; ++rank) {
        const IndexRange share = share_of({100, 100 + size}, rank, world_size);
        EXPECT_EQ(share.begin, 100 + rank * size / world_size);
        EXPECT_EQ(share.end, 100 + (rank + 1) * size / world_size);
      }
    }
  }
}

TEST(ShareOf, may_be_empty) {
  EXPECT_EQ(share_of({0, 1}, 0, 2).size(), 0);
  EXPECT_EQ(share_of({0, 1}, 1, 2).size(), 1);
}

TEST(ShareOf, does_not_overflow_for_huge_ranges) {
  const int64_t size = int64_t{1} << 62;
  EXPECT_EQ(share_of({0, size}, 2, 4), (IndexRange{size / 2, size / 4 * 3}));
}

// Over many epochs each sample stands at each position equally often. The statistic is the
// normalised chi-square: about 0 for a uniform draw, with standard deviation 1.
double normalised_chi_square(int64_t n, int epochs) {
  std::vector<int64_t> counts(n * n);
  const Sampler sampler(n, 42, Shuffle::epoch);
  std::vector<int64_t> order(n);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    sampler.fill(epoch, 0, order);
    for (int64_t p = 0; p < n; ++p) ++counts[p * n + order[p]];
  }
  const double expected = static_cast<double>(epochs) / n;
  double statistic = 0.0;
  for (int64_t count : counts) statistic += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>((n - 1) * (n - 1));
  return (statistic - freedom) / std::sqrt(2.0 * freedom);
}

TEST(Sampler, places_samples_uniformly) {
  for (int64_t n : {2, 3, 7, 10, 64, 100}) {
    EXPECT_LT(std::abs(normalised_chi_square(n, 20000)), 4.5) << "n = " << n;
  }
}

// Neighbours in the order are unrelated: the mean distance of two random samples is n / 3.
TEST(Sampler, separates_neighbours) {
  for (int64_t n : {1000, 99991, 1 << 17}) {
    const std::vector<int64_t> order = epoch_order(Sampler(n, 5, Shuffle::epoch), 2);
    double distance = 0.0;
    for (int64_t i = 1; i < n; ++i) distance += std::abs(order[i] - order[i - 1]);
    const double mean = distance / (n - 1) / n;
    EXPECT_NEAR(mean, 1.0 / 3.0, 5.0 * 0.24 / std::sqrt(n)) << "n = " << n;
  }
}

}  // namespace
}  // namespace lockstep
