// Several GPUs' communicators, each on a thread of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "backend/cuda_collectives.h"
#include "backend/cuda_memory.h"
#include "comm/device_group.h"
#include "comm/wait.h"
#include "device/device.h"
#ifdef LOCKSTEP_EMULATOR
#include "emulator/communication.h"
#endif

namespace lockstep {
namespace {

using ::testing::HasSubstr;

class Nccl : public testing::DeviceTest {
 protected:
  static constexpr int kMostGpus = 8;

  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    if (nccl_version().empty()) GTEST_SKIP() << "this build has no NCCL";
    have_ = kMostGpus;
    while (have_ > 0 && !testing::renew_devices(have_)) --have_;
  }

  // The errors of the ranks, in the order in which they came.
  std::vector<Error> run(int ranks, const std::function<void(DeviceCommunicator&)>& work,
                         DeviceGroupOptions options = {}) {
    options.id = new_device_group_id();
    options.members = options.world_size = ranks;
    options.stopped = [&] { return stopped_.load(); };
    options.give_up = [](const std::string& message) {
      ADD_FAILURE() << message;
      std::abort();
    };
    const auto group = make_device_group(options);
    std::mutex mutex;
    std::vector<Error> errors;
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          check(cudaSetDevice(rank), "cudaSetDevice");
          const auto communicator = group->join(rank);
          EXPECT_EQ(communicator->rank(), rank);
          EXPECT_EQ(communicator->size(), ranks);
          work(*communicator);
        } catch (const PeerAborted&) {
          const std::lock_guard lock(mutex);
          ++peers_aborted_;
        } catch (const Error& error) {
          const std::lock_guard lock(mutex);
          errors.push_back(error);
          stopped_ = true;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return errors;
  }

  int have_ = 0;
  std::atomic<bool> stopped_{false};
  int peers_aborted_ = 0;
};

void wait(DeviceCommunicator& communicator) {
  cudaError_t state = cudaErrorNotReady;
  while ((state = cudaStreamQuery(communicator.stream())) == cudaErrorNotReady) {
    communicator.check();
    std::this_thread::yield();
  }
  communicator.check();
  check(state, "cudaStreamQuery");
}

// Whole numbers: every order of summation is exact.
TEST_F(Nccl, SumsOverAllRanks) {
  for (const int ranks : {1, 2, 3, 8}) {
    if (ranks > have_) continue;
    const auto errors = run(ranks, [&](DeviceCommunicator& communicator) {
      const cudaStream_t stream = communicator.stream();
      const size_t counts[] = {1, 1000, 4097};
      for (int round = 0; round < 3; ++round) {
        std::vector<DeviceArray<float>> arrays;
        std::vector<WireSpan> spans;
        for (const size_t count : counts) {
          std::vector<float> values(count);
          for (size_t i = 0; i < count; ++i) {
            values[i] = static_cast<float>((communicator.rank() + 1) * (i % 100) + round);
          }
          arrays.emplace_back(count);
          arrays.back().upload(values, stream);
          spans.push_back({arrays.back().data(), count, WireType::fp32});
        }
        communicator.all_reduce(spans);
        wait(communicator);
        for (const DeviceArray<float>& array : arrays) {
          std::vector<float> sums(array.size());
          array.download(sums, stream);
          for (size_t i = 0; i < sums.size(); ++i) {
            const auto expected =
                static_cast<float>(ranks * (ranks + 1) / 2 * (i % 100) + ranks * round);
            ASSERT_EQ(sums[i], expected) << "rank " << communicator.rank() << ", value " << i;
          }
        }
      }
    });
    for (const Error& error : errors) ADD_FAILURE() << error.what();
  }
}

// Every rank gives every other a value of its own for it.
TEST_F(Nccl, ExchangesBetweenAllPairs) {
  if (have_ < 2) GTEST_SKIP() << "two GPUs";
  for (const int ranks : {2, 5}) {
    if (ranks > have_) continue;
    const auto errors = run(ranks, [&](DeviceCommunicator& communicator) {
      const int own = communicator.rank();
      std::vector<float> values(ranks), got(ranks);
      for (int peer = 0; peer < ranks; ++peer) values[peer] = static_cast<float>(10 * own + peer);
      DeviceArray<float> to(ranks), from(ranks);
      to.upload(values, communicator.stream());
      from.upload(values, communicator.stream());
      std::vector<Transfer> sends, receives;
      for (int peer = 0; peer < ranks; ++peer) {
        if (peer == own) continue;
        sends.push_back({peer, to.data() + peer, 1});
        receives.push_back({peer, from.data() + peer, 1});
      }
      communicator.exchange(sends, receives);
      wait(communicator);
      from.download(got, communicator.stream());
      for (int peer = 0; peer < ranks; ++peer) {
        EXPECT_EQ(got[peer], peer == own ? 11.0F * own : 10.0F * peer + own);
      }
    });
    for (const Error& error : errors) ADD_FAILURE() << error.what();
  }
}

// The rank that throws is the run's error, the others wait for it in a sum that never comes.
TEST_F(Nccl, ARankThatThrowsEndsItsPeers) {
  if (have_ < 3) GTEST_SKIP() << "three GPUs";
  const auto errors = run(3, [&](DeviceCommunicator& communicator) {
    if (communicator.rank() == 1) throw Error(ErrorKind::data, "on purpose");
    DeviceArray<float> values(100);
    values.clear(communicator.stream());
    communicator.all_reduce(std::vector<WireSpan>{{values.data(), 100, WireType::fp32}});
    wait(communicator);
  });
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_STREQ(errors[0].what(), "on purpose");
  EXPECT_EQ(peers_aborted_, 2);
}

#ifdef LOCKSTEP_EMULATOR

TEST_F(Nccl, AnErrorThatComesLateEndsAllRanks) {
  emulator::fail_collective(0, 0, ncclRemoteError);
  const auto errors = run(4, [&](DeviceCommunicator& communicator) {
    DeviceArray<float> values(100);
    values.clear(communicator.stream());
    communicator.all_reduce(std::vector<WireSpan>{{values.data(), 100, WireType::fp32}});
    wait(communicator);
  });
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors[0].kind(), ErrorKind::communication);
  EXPECT_THAT(errors[0].what(), HasSubstr("NCCL"));
  EXPECT_EQ(static_cast<int>(errors.size()) + peers_aborted_, 4);
  EXPECT_EQ(emulator::held(), "");
}

// Rank 2 is late by more than the deadline: the others name it.
TEST_F(Nccl, NamesTheRankThatDidNotArrive) {
  DeviceGroupOptions options;
  options.init_timeout = 0.3;
  options.id = new_device_group_id();
  options.members = options.world_size = 2;
  options.stopped = [] { return false; };
  const auto group = make_device_group(options);
  try {
    (void)group->join(0);
    ADD_FAILURE() << "joined alone";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::communication);
    EXPECT_THAT(error.what(), HasSubstr("rank 1 did not arrive"));
    EXPECT_THAT(error.remedy(), HasSubstr("/dev/shm"));
  }
}

#endif

}  // namespace
}  // namespace lockstep
