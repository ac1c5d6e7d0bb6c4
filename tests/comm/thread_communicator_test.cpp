#include "comm/thread_communicator.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "comm/team.h"
#include "lockstep/error.h"
#include "lockstep/rng.h"

namespace lockstep {
namespace {

using testing::on_workers;

constexpr AllReduceAlgorithm kAlgorithms[] = {AllReduceAlgorithm::direct, AllReduceAlgorithm::ring,
                                              AllReduceAlgorithm::central};

float random_value(int rank, size_t i) {
  const RandomStream stream{7, Purpose::synthetic_features, 0, 0};
  return unit_float(stream.word(static_cast<uint64_t>(rank), static_cast<uint32_t>(i))) - 0.5f;
}

// Integers up to 2^10: sums are exact in any order.
float integer_value(int rank, size_t i) {
  return static_cast<float>((rank * 37 + i * 11) % 1024);
}

template <class Value>
std::vector<float> left_fold(int workers, size_t size, Value value) {
  std::vector<float> sum(size);
  for (size_t i = 0; i < size; ++i) {
    sum[i] = value(0, i);
    for (int rank = 1; rank < workers; ++rank) sum[i] += value(rank, i);
  }
  return sum;
}

TEST(ThreadCommunicator, AllReduceIsTheExactSumForEveryAlgorithmSizeAndWorldSize) {
  for (const AllReduceAlgorithm algorithm : kAlgorithms) {
    for (const int workers : {1, 2, 3, 4, 7}) {
      for (const size_t size : {size_t{1}, size_t{31}, size_t{64}, size_t{1000}}) {
        const std::vector<float> expected = left_fold(workers, size, integer_value);
        on_workers(workers, [&](ThreadGroup& group, int rank) {
          ThreadCommunicator communicator(group, rank, algorithm);
          std::vector<float> data(size);
          for (size_t i = 0; i < size; ++i) data[i] = integer_value(rank, i);
          communicator.all_reduce(data);
          communicator.wait();
          EXPECT_EQ(data, expected) << "rank " << rank << " of " << workers << ", size " << size;
        });
      }
    }
  }
}

TEST(ThreadCommunicator, DirectAndCentralFoldInRankOrderBitForBit) {
  for (const auto algorithm : {AllReduceAlgorithm::direct, AllReduceAlgorithm::central}) {
    for (const int workers : {2, 3, 5}) {
      const std::vector<float> expected = left_fold(workers, 500, random_value);
      on_workers(workers, [&](ThreadGroup& group, int rank) {
        ThreadCommunicator communicator(group, rank, algorithm);
        std::vector<float> data(500);
        for (size_t i = 0; i < data.size(); ++i) data[i] = random_value(rank, i);
        communicator.all_reduce(data);
        communicator.wait();
        EXPECT_EQ(data, expected);
      });
    }
  }
}

TEST(ThreadCommunicator, ManyCollectivesUnderWayWithWorkersOutOfStep) {
  for (const AllReduceAlgorithm algorithm : kAlgorithms) {
    on_workers(3, [&](ThreadGroup& group, int rank) {
      ThreadCommunicator communicator(group, rank, algorithm);
      std::vector<float> data(600 * 64);
      for (int round = 0; round < 3; ++round) {
        std::fill(data.begin(), data.end(), static_cast<float>(rank + 1 + round));
        for (int i = 0; i < 600; ++i) {
          if ((i + rank * 7) % 97 == 0) std::this_thread::yield();
          communicator.all_reduce(std::span(data).subspan(i * 64, 64));
        }
        communicator.wait();
        EXPECT_EQ(data, std::vector<float>(data.size(), static_cast<float>(6 + 3 * round)));
      }
      EXPECT_EQ(communicator.completed(), 1800);
    });
  }
}

TEST(ThreadCommunicator, BroadcastTakesTheRootsValues) {
  on_workers(3, [](ThreadGroup& group, int rank) {
    ThreadCommunicator communicator(group, rank, AllReduceAlgorithm::direct);
    for (int root = 0; root < 3; ++root) {
      std::vector<float> data(100, static_cast<float>(rank));
      communicator.broadcast(data, root);
      EXPECT_EQ(data, std::vector<float>(100, static_cast<float>(root)));
      communicator.all_reduce(data);
      communicator.wait();
      EXPECT_EQ(data[99], static_cast<float>(3 * root));
    }
  });
}

TEST(ThreadCommunicator, CountsCallsPayloadAndWireBytes) {
  on_workers(4, [](ThreadGroup& group, int rank) {
    std::vector<float> data(256);
    ThreadCommunicator direct(group, rank, AllReduceAlgorithm::direct);
    direct.all_reduce(data);
    direct.wait();
    EXPECT_EQ(direct.counters().calls, 1);
    EXPECT_EQ(direct.counters().bytes, 1024);
    EXPECT_EQ(direct.counters().wire_bytes, 2 * 3 * 1024 / 4);
  });
}

TEST(ThreadCommunicator, AMissingWorkerIsNamedAtTheDeadline) {
  try {
    on_workers(
        3,
        [](ThreadGroup& group, int rank) {
          if (rank == 1) return;
          group.barrier(rank);
        },
        0.2);
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::communication);
    EXPECT_NE(std::string(error.what()).find("worker 1"), std::string::npos) << error.what();
    EXPECT_NE(error.remedy().find("--comm-timeout"), std::string::npos);
  }
}

TEST(ThreadCommunicator, AFailedWorkerStopsItsPeersAndItsErrorIsTheOneSeen) {
  // Peers may still read a worker's buffer while it leaves: the buffers outlive the team.
  std::vector<std::vector<float>> buffers(4, std::vector<float>(1000));
  try {
    on_workers(4, [&](ThreadGroup& group, int rank) {
      if (rank == 2) throw Error(ErrorKind::data, "the disk is gone");
      ThreadCommunicator communicator(group, rank, AllReduceAlgorithm::ring);
      communicator.all_reduce(buffers[rank]);
      communicator.wait();
    });
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "the disk is gone");
  }
}

}  // namespace
}  // namespace lockstep
