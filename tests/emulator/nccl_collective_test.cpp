// What collectives compute, between ranks that are threads.
#include <cuda_bf16.h>

#include <bit>
#include <cstdint>
#include <set>

#include "nccl_fixture.h"

namespace lockstep::test {
namespace {

using NcclCollectiveTest = NcclTest;

// rank + 1, rank + 2, ...
std::vector<float> of_rank(int rank, std::size_t count) {
  std::vector<float> values = numbered(count);
  for (float& value : values) value += static_cast<float>(rank + 1);
  return values;
}

TEST_F(NcclCollectiveTest, all_reduce_adds_the_values_of_all_ranks) {
  for (const bool blocking : {true, false}) {
    for (const int size : {1, 2, 3, 8}) {
      emulator::reset(size);
      run(size, blocking, [&](const Rank& r) {
        auto* in = on_device(of_rank(r.rank, 100));
        auto* out = on_device<float>(100);
        r.all_reduce(in, out, 100);
        r.all_reduce(out, out, 100);
        const auto sums = from_device(out, 100);
        for (int i = 0; i < 100; ++i) {
          EXPECT_EQ(sums[static_cast<std::size_t>(i)],
                    static_cast<float>(size * (size * i + size * (size + 1) / 2)));
        }
      });
    }
  }
}

template <class T>
T reduced(ncclDataType_t type, ncclRedOp_t op, const std::vector<T>& values) {
  T result{};
  const auto size = static_cast<int>(values.size());
  emulator::reset(size);
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  std::vector<ncclComm_t> comms(values.size());
  check(ncclCommInitAll(comms.data(), size, nullptr), "ncclCommInitAll");
  std::vector<T*> buffers;
  for (int rank = 0; rank < size; ++rank) {
    check(cudaSetDevice(rank), "cudaSetDevice");
    buffers.push_back(on_device(std::vector<T>{values[static_cast<std::size_t>(rank)]}));
  }
  check(ncclGroupStart(), "ncclGroupStart");
  for (std::size_t rank = 0; rank < values.size(); ++rank) {
    check(ncclAllReduce(buffers[rank], buffers[rank], 1, type, op, comms[rank], nullptr),
          "ncclAllReduce");
  }
  check(ncclGroupEnd(), "ncclGroupEnd");
  check(cudaSetDevice(0), "cudaSetDevice");
  result = from_device(buffers[0], 1)[0];
  return result;
}

TEST_F(NcclCollectiveTest, types_and_operations) {
  EXPECT_EQ(reduced<std::int8_t>(ncclInt8, ncclSum, {100, 100, -3}), static_cast<std::int8_t>(197));
  EXPECT_EQ(reduced<std::uint8_t>(ncclUint8, ncclMax, {3, 200, 7}), 200);
  EXPECT_EQ(reduced<std::int8_t>(ncclInt8, ncclMin, {3, -100, 7}), -100);
  EXPECT_EQ(reduced<std::int32_t>(ncclInt32, ncclProd, {-3, 5, 7}), -105);
  EXPECT_EQ(reduced<std::int32_t>(ncclInt32, ncclAvg, {-3, 5, 7}), 3);
  EXPECT_EQ(reduced<std::int64_t>(ncclInt64, ncclMin, {1LL << 40, -(1LL << 41), 0}), -(1LL << 41));
  EXPECT_EQ(reduced<std::uint64_t>(ncclUint64, ncclSum, {1ULL << 63, 1ULL << 62, 1}),
            (3ULL << 62) + 1);
  EXPECT_EQ(reduced<float>(ncclFloat32, ncclMax, {-1, -3, -2}), -1.0F);
  EXPECT_EQ(reduced<float>(ncclFloat32, ncclAvg, {1, 2, 5, 8}), 4.0F);
  EXPECT_EQ(reduced<double>(ncclFloat64, ncclSum, {1, 1e-12}), 1 + 1e-12);
  EXPECT_EQ(reduced<std::uint16_t>(ncclBfloat16, ncclSum, {0x3f80, 0x4000}), 0x4040) << "1 + 2 = 3";
  EXPECT_EQ(reduced<std::uint16_t>(ncclBfloat16, ncclSum, {0x4380, 0x3f80}), 0x4380)
      << "256 + 1 is rounded to 256";
}

TEST_F(NcclCollectiveTest, each_collective_gives_each_rank_its_part) {
  constexpr int kSize = 3;
  constexpr std::size_t kCount = 70;
  emulator::reset(kSize);
  run(kSize, true, [](const Rank& r) {
    auto* in = on_device(of_rank(r.rank, kCount));
    auto* all = on_device(std::vector<float>(kSize * kCount, -1.0F));
    auto* part = on_device(std::vector<float>(kCount, -1.0F));
    check(ncclAllGather(in, all, kCount, ncclFloat32, r.comm, r.stream), "ncclAllGather");
    check(ncclReduceScatter(all, part, kCount, ncclFloat32, ncclSum, r.comm, r.stream),
          "ncclReduceScatter");
    const auto gathered = from_device(all, kSize * kCount);
    EXPECT_EQ(gathered[2 * kCount + 5], 8.0F);
    EXPECT_EQ(from_device(part, kCount)[4], 3.0F * static_cast<float>(r.rank + 5));

    check(ncclBroadcast(in, part, kCount, ncclFloat32, 1, r.comm, r.stream), "ncclBroadcast");
    EXPECT_EQ(from_device(part, kCount)[7], 9.0F);
    check(cudaMemset(part, 0, kCount * sizeof(float)), "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    check(ncclReduce(in, part, kCount, ncclFloat32, ncclSum, 2, r.comm, r.stream), "ncclReduce");
    EXPECT_EQ(from_device(part, kCount)[1], r.rank == 2 ? 9.0F : 0.0F);

    // Round a ring.
    check(ncclGroupStart(), "ncclGroupStart");
    check(ncclSend(in, kCount, ncclFloat32, (r.rank + 1) % kSize, r.comm, r.stream), "ncclSend");
    check(ncclRecv(part, kCount, ncclFloat32, (r.rank + 2) % kSize, r.comm, r.stream), "ncclRecv");
    check(ncclGroupEnd(), "ncclGroupEnd");
    EXPECT_EQ(from_device(part, kCount)[0], static_cast<float>((r.rank + 2) % kSize + 1));
  });
}

std::vector<float> sum_of(const std::vector<std::vector<float>>& ranks, std::uint64_t seed) {
  const auto size = static_cast<int>(ranks.size());
  emulator::reset(size);
  emulator::set_seed(seed);
  std::vector<float> sums;
  NcclTest::run(size, true, [&](const Rank& r) {
    const auto& mine = ranks[static_cast<std::size_t>(r.rank)];
    auto* values = on_device(mine);
    r.all_reduce(values, values, mine.size());
    if (r.rank == 0) sums = from_device(values, mine.size());
  });
  return sums;
}

// (1 + 2^24) - 2^24 is 0 in float32; any other order gives 1.
TEST_F(NcclCollectiveTest, no_element_is_summed_in_the_order_of_ranks) {
  const std::vector<float> large(2000, 16777216.0F), negative(2000, -16777216.0F);
  EXPECT_EQ(sum_of({std::vector<float>(2000, 1.0F), large, negative}, 5),
            std::vector<float>(2000, 1.0F));
}

TEST_F(NcclCollectiveTest, the_order_of_summation_is_not_that_of_ranks) {
  const auto by_rank = [](const std::vector<std::vector<float>>& ranks) {
    std::vector<float> sums = ranks[0];
    for (std::size_t r = 1; r < ranks.size(); ++r) {
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += ranks[r][i];
    }
    return sums;
  };
  std::vector<std::vector<float>> ranks(4, std::vector<float>(640));
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    for (std::size_t i = 0; i < 640; ++i) {
      ranks[r][i] = 1.0F / static_cast<float>(1 + (i * 7 + r * 131) % 997);
    }
  }
  std::set<std::vector<float>> results;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const auto sums = sum_of(ranks, seed);
    EXPECT_NE(sums, by_rank(ranks));
    EXPECT_EQ(sums, sum_of(ranks, seed)) << "a seed repeats it";
    results.insert(sums);
  }
  EXPECT_EQ(results.size(), 4U) << "each seed has its own";
  ranks.resize(2);
  EXPECT_EQ(sum_of(ranks, 1), by_rank(ranks)) << "two ranks leave no choice";
}

}  // namespace
}  // namespace lockstep::test
