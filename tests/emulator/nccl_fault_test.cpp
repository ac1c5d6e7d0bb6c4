// Failures of communication, injected or by a rank that is missing, and what ends them.
#include <atomic>

#include "nccl_fixture.h"

namespace lockstep::test {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Two ranks of one thread, and a pending all-reduce of theirs.
class NcclFaultTest : public NcclTest {
 protected:
  void SetUp() override {
    emulator::reset(2);
    check(ncclCommInitAll(comms_, 2, nullptr), "ncclCommInitAll");
    for (int device = 0; device < 2; ++device) {
      check(cudaSetDevice(device), "cudaSetDevice");
      streams_[device] = new_stream();
      values_[device] = on_device(std::vector<float>(4, 1.0F));
    }
  }

  void all_reduce() {
    check(ncclGroupStart(), "ncclGroupStart");
    for (int rank = 0; rank < 2; ++rank) start(rank);
    check(ncclGroupEnd(), "ncclGroupEnd");
  }

  void start(int rank) {
    check(ncclAllReduce(values_[rank], values_[rank], 4, ncclFloat32, ncclSum, comms_[rank],
                        streams_[rank]),
          "ncclAllReduce");
  }

  // For as long as something that is not pending would take.
  bool stays_pending(int rank) {
    for (int i = 0; i < 50; ++i) {
      if (cudaStreamQuery(streams_[rank]) != cudaErrorNotReady) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  float value(int rank) {
    check(cudaSetDevice(rank), "cudaSetDevice");
    return from_device(values_[rank], 4)[0];
  }

  ncclResult_t state(int rank) {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comms_[rank], &state), "ncclCommGetAsyncError");
    return state;
  }

  ncclComm_t comms_[2] = {};
  cudaStream_t streams_[2] = {};
  float* values_[2] = {};
};

TEST_F(NcclFaultTest, the_chosen_collective_fails_asynchronously) {
  emulator::fail_collective(1, 2, ncclRemoteError);
  all_reduce();
  all_reduce();
  EXPECT_EQ(value(0), 4.0F);
  EXPECT_EQ(value(1), 4.0F);
  EXPECT_EQ(state(1), ncclSuccess);
  all_reduce();
  while (state(1) == ncclSuccess) std::this_thread::yield();
  EXPECT_EQ(state(1), ncclRemoteError);
  EXPECT_NE(std::string(ncclGetLastError(comms_[1])).find("injected"), std::string::npos);
  EXPECT_EQ(ncclAllReduce(values_[1], values_[1], 4, ncclFloat32, ncclSum, comms_[1], streams_[1]),
            ncclRemoteError);
  while (emulator::collectives_seen() < 6) std::this_thread::yield();
  EXPECT_TRUE(stays_pending(0));
  EXPECT_TRUE(stays_pending(1));
  EXPECT_EQ(state(0), ncclSuccess) << "a rank that waits knows nothing of it";
  for (const ncclComm_t comm : comms_) check(ncclCommAbort(comm), "ncclCommAbort");
  EXPECT_EQ(value(0), 4.0F) << "nothing was written";
  EXPECT_EQ(emulator::communication_threads(), 0);
  EXPECT_EQ(emulator::collectives_seen(), 6);
}

TEST_F(NcclFaultTest, a_rank_that_never_arrives_leaves_its_peers_pending_until_they_abort) {
  emulator::hold_collective(0, 0);
  all_reduce();
  EXPECT_TRUE(stays_pending(0));
  EXPECT_TRUE(stays_pending(1));
  EXPECT_EQ(state(0), ncclSuccess);
  check(ncclCommAbort(comms_[0]), "ncclCommAbort");
  check(cudaStreamSynchronize(streams_[0]), "cudaStreamSynchronize");
  EXPECT_TRUE(stays_pending(1)) << "each has to abort";
  check(ncclCommAbort(comms_[1]), "ncclCommAbort");
  check(cudaStreamSynchronize(streams_[1]), "cudaStreamSynchronize");
  EXPECT_EQ(ncclCommAbort(comms_[1]), ncclInvalidArgument);
}

// What the watchdog of a training does: the owner is stuck in a synchronisation.
TEST_F(NcclFaultTest, another_thread_may_abort) {
  start(0);
  const auto begin = Clock::now();
  std::thread watchdog([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    check(ncclCommAbort(comms_[0]), "ncclCommAbort");
  });
  check(cudaStreamSynchronize(streams_[0]), "cudaStreamSynchronize");
  EXPECT_GE(seconds_since(begin), 0.01);
  watchdog.join();
}

TEST_F(NcclFaultTest, operations_behind_one_that_is_aborted_end_too) {
  for (int i = 0; i < 3; ++i) start(0);
  check(ncclCommAbort(comms_[0]), "ncclCommAbort");
  check(cudaStreamSynchronize(streams_[0]), "cudaStreamSynchronize");
  EXPECT_EQ(value(0), 1.0F);
}

TEST_F(NcclFaultTest, a_lost_device_is_an_error_of_its_communicator) {
  check(cudaSetDevice(0), "cudaSetDevice");
  emulator::fail_kernel(0, cudaErrorIllegalAddress);
  launch({.grid = 1, .block = 4, .stream = streams_[0]}, copy_floats, 4, values_[0], values_[0]);
  check(ncclGroupStart(), "ncclGroupStart");
  start(0);
  start(1);
  const ncclResult_t ended = ncclGroupEnd();
  EXPECT_TRUE(ended == ncclSuccess || ended == ncclUnhandledCudaError);
  while (state(0) == ncclSuccess) std::this_thread::yield();
  EXPECT_EQ(state(0), ncclUnhandledCudaError);
  check(cudaSetDevice(1), "cudaSetDevice");
  EXPECT_TRUE(stays_pending(1));
  for (const ncclComm_t comm : comms_) check(ncclCommAbort(comm), "ncclCommAbort");
}

class NcclInitFaultTest : public NcclTest {
 protected:
  static ncclComm_t begin(int size, const ncclUniqueId& id, int rank) {
    ncclComm_t comm = nullptr;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    EXPECT_EQ(ncclCommInitRankConfig(&comm, size, id, rank, &config), ncclInProgress);
    return comm;
  }
};

TEST_F(NcclInitFaultTest, a_missing_rank_leaves_initialisation_in_progress_until_abort) {
  emulator::reset(2);
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  const ncclComm_t comm = begin(2, id, 0);
  ncclResult_t state = ncclSuccess;
  for (int i = 0; i < 20; ++i) {
    check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
    EXPECT_EQ(state, ncclInProgress);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  int count = 0;
  EXPECT_EQ(ncclCommCount(comm, &count), ncclInvalidArgument) << "it is in progress";
  EXPECT_EQ(ncclCommDestroy(comm), ncclInvalidUsage);
  const auto began = Clock::now();
  check(ncclCommAbort(comm), "ncclCommAbort");
  EXPECT_LT(seconds_since(began), 60.0) << "not never";
  EXPECT_EQ(emulator::communication_threads(), 0);
}

TEST_F(NcclInitFaultTest, an_initialisation_that_fails_or_never_arrives) {
  emulator::reset(2);
  emulator::fail_init(0, 1, ncclSystemError);
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  ncclComm_t comm = begin(1, id, 0);
  EXPECT_EQ(settle(comm), ncclSuccess) << "the 0th does not";
  check(ncclCommDestroy(comm), "ncclCommDestroy");
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  comm = begin(1, id, 0);
  EXPECT_EQ(settle(comm), ncclSystemError);
  check(ncclCommAbort(comm), "ncclCommAbort");

  emulator::hold_init(1, 0);
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  check(cudaSetDevice(0), "cudaSetDevice");
  const ncclComm_t first = begin(2, id, 0);
  check(cudaSetDevice(1), "cudaSetDevice");
  const ncclComm_t second = begin(2, id, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  for (const ncclComm_t held : {first, second}) {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(held, &state), "ncclCommGetAsyncError");
    EXPECT_EQ(state, ncclInProgress);
    check(ncclCommAbort(held), "ncclCommAbort");
  }
}

}  // namespace
}  // namespace lockstep::test
