// What NCCL refuses, and what it says then.
#include <cstdlib>

#include "nccl_fixture.h"

namespace lockstep::test {
namespace {

class NcclMisuseTest : public NcclTest {
 protected:
  void SetUp() override {
    emulator::reset(2);
    check(ncclCommInitAll(comms_, 2, nullptr), "ncclCommInitAll");
    check(cudaSetDevice(0), "cudaSetDevice");
    values_ = on_device<float>(16);
  }

  ncclResult_t reduce(float* send, float* receive, std::size_t count,
                      cudaStream_t stream = nullptr) {
    return ncclAllReduce(send, receive, count, ncclFloat32, ncclSum, comms_[0], stream);
  }

  static void expect_says(const std::string& words) {
    const std::string said = ncclGetLastError(nullptr);
    EXPECT_NE(said.find(words), std::string::npos) << "'" << words << "' is not in: " << said;
  }

  ncclComm_t comms_[2] = {};
  float* values_ = nullptr;
};

TEST_F(NcclMisuseTest, buffers_that_are_none) {
  float host[16];
  EXPECT_EQ(reduce(nullptr, values_, 16), ncclInvalidArgument);
  expect_says("send buffer is null");
  EXPECT_EQ(reduce(values_, host, 16), ncclInvalidArgument);
  expect_says("receive buffer is no device memory");
  EXPECT_EQ(reduce(values_, values_, 17), ncclInvalidArgument);
  expect_says("shorter");
  EXPECT_EQ(reduce(values_, values_ + 4, 8), ncclInvalidUsage);
  expect_says("overlap");
  check(cudaSetDevice(1), "cudaSetDevice");
  auto* others = on_device<float>(16);
  EXPECT_EQ(reduce(others, others, 16), ncclInvalidArgument);
  expect_says("is on device 1, the communicator on 0");
  EXPECT_EQ(reduce(nullptr, nullptr, 0), ncclSuccess) << "no elements are no call";
}

TEST_F(NcclMisuseTest, arguments_out_of_range) {
  EXPECT_EQ(ncclAllReduce(values_, values_, 1, ncclFloat16, ncclSum, comms_[0], nullptr),
            ncclInvalidArgument);
  expect_says("float16");
  EXPECT_EQ(ncclAllReduce(values_, values_, 1, ncclFloat32, ncclNumOps, comms_[0], nullptr),
            ncclInvalidArgument);
  EXPECT_EQ(ncclBroadcast(values_, values_, 1, ncclFloat32, 2, comms_[0], nullptr),
            ncclInvalidArgument);
  expect_says("no rank 2");
  EXPECT_EQ(ncclAllReduce(values_, values_, 1, ncclFloat32, ncclSum, nullptr, nullptr),
            ncclInvalidArgument);
  EXPECT_EQ(ncclCommCount(comms_[0], nullptr), ncclInvalidArgument);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
}

TEST_F(NcclMisuseTest, a_stream_of_another_device) {
  check(cudaSetDevice(1), "cudaSetDevice");
  const cudaStream_t stream = new_stream();
  check(cudaSetDevice(0), "cudaSetDevice");
  EXPECT_EQ(reduce(values_, values_, 16, stream), ncclUnhandledCudaError);
}

TEST_F(NcclMisuseTest, a_communicator_that_was_destroyed) {
  for (const ncclComm_t comm : comms_) check(ncclCommDestroy(comm), "ncclCommDestroy");
  EXPECT_EQ(reduce(values_, values_, 16), ncclInvalidArgument);
  expect_says("was it destroyed?");
  EXPECT_EQ(ncclCommDestroy(comms_[0]), ncclInvalidArgument);
  ncclResult_t state = ncclSuccess;
  EXPECT_EQ(ncclCommGetAsyncError(comms_[0], &state), ncclInvalidArgument);
  EXPECT_EQ(emulator::communication_threads(), 0);
}

TEST_F(NcclMisuseTest, destroying_with_operations_pending) {
  const cudaStream_t stream = new_stream();
  check(reduce(values_, values_, 16, stream), "ncclAllReduce");
  EXPECT_EQ(ncclCommDestroy(comms_[0]), ncclInvalidUsage);
  expect_says("operations pending");
  check(ncclCommAbort(comms_[0]), "ncclCommAbort");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

TEST_F(NcclMisuseTest, nothing_follows_finalize) {
  check(ncclCommFinalize(comms_[0]), "ncclCommFinalize");
  EXPECT_EQ(reduce(values_, values_, 16), ncclInvalidArgument);
  check(ncclCommDestroy(comms_[0]), "ncclCommDestroy");
}

TEST_F(NcclMisuseTest, registrations) {
  void* memory = nullptr;
  void* registration = nullptr;
  check(ncclMemAlloc(&memory, 64), "ncclMemAlloc");
  check(ncclCommRegister(comms_[0], memory, 64, &registration), "ncclCommRegister");
  EXPECT_EQ(ncclCommRegister(comms_[0], memory, 65, &registration), ncclInvalidArgument);
  EXPECT_EQ(ncclCommDestroy(comms_[0]), ncclInvalidUsage) << "a buffer is still registered";
  check(ncclCommDeregister(comms_[0], registration), "ncclCommDeregister");
  EXPECT_EQ(ncclCommDeregister(comms_[0], registration), ncclInvalidArgument);
  check(ncclCommDestroy(comms_[0]), "ncclCommDestroy");
  check(ncclMemFree(memory), "ncclMemFree");
}

TEST_F(NcclMisuseTest, a_group_with_a_bad_call_does_nothing_and_says_so) {
  check(ncclGroupStart(), "ncclGroupStart");
  EXPECT_EQ(reduce(values_, values_, 16), ncclSuccess);
  EXPECT_EQ(reduce(nullptr, values_, 16), ncclInvalidArgument);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidArgument);
  check(ncclCommDestroy(comms_[0]), "ncclCommDestroy");
}

TEST_F(NcclMisuseTest, a_thread_with_several_ranks_must_use_groups) {
  check(reduce(values_, values_, 16), "ncclAllReduce");
  check(cudaSetDevice(1), "cudaSetDevice");
  auto* others = on_device<float>(16);
  EXPECT_EQ(ncclAllReduce(others, others, 16, ncclFloat32, ncclSum, comms_[1], nullptr),
            ncclInvalidUsage);
  expect_says("without ncclGroupStart");
}

TEST_F(NcclMisuseTest, ranks_that_are_not_there) {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 2), ncclInvalidArgument);
  expect_says("2/2");
  EXPECT_EQ(ncclCommInitRank(&comm, 0, id, 0), ncclInvalidArgument);
  EXPECT_EQ(ncclCommInitRank(nullptr, 1, id, 0), ncclInvalidArgument);
  EXPECT_EQ(ncclCommInitRank(&comm, 1, ncclUniqueId{}, 0), ncclInvalidArgument);
  ncclConfig_t config{};
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInvalidArgument);
  EXPECT_EQ(comm, nullptr);
}

// Ranks, each in its thread; what their initialisation returns.
std::vector<ncclResult_t> init(const std::vector<int>& ranks, const std::vector<int>& sizes,
                               const std::vector<int>& devices) {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  std::vector<ncclResult_t> results(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    threads.emplace_back([&, i] {
      check(cudaSetDevice(devices[i]), "cudaSetDevice");
      ncclComm_t comm = nullptr;
      results[i] = ncclCommInitRank(&comm, sizes[i], id, ranks[i]);
    });
  }
  for (auto& thread : threads) thread.join();
  return results;
}

TEST_F(NcclMisuseTest, two_ranks_on_one_device) {
  const std::vector<ncclResult_t> refused(2, ncclInvalidUsage);
  EXPECT_EQ(init({0, 1}, {2, 2}, {1, 1}), refused);
  expect_says("Duplicate GPU detected : rank 0 and rank 1 both on CUDA device");
  setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);
  EXPECT_EQ(init({0, 1}, {2, 2}, {1, 1}), std::vector<ncclResult_t>(2, ncclSuccess));
  unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
}

TEST_F(NcclMisuseTest, ranks_that_disagree_about_who_there_is) {
  const std::vector<ncclResult_t> failed(2, ncclInternalError);
  EXPECT_EQ(init({0, 1}, {2, 3}, {0, 1}), failed);
  expect_says("ranks");
  EXPECT_EQ(init({1, 1}, {2, 2}, {0, 1}), failed);
  expect_says("already checked in");
}

TEST_F(NcclMisuseTest, calls_that_disagree_are_reported_and_do_not_hang) {
  struct Case {
    std::size_t count;
    ncclDataType_t type;
    ncclRedOp_t op;
    const char* words;
  };
  for (const Case& c :
       {Case{8, ncclFloat32, ncclSum, "of 8 float32"}, Case{16, ncclInt32, ncclSum, "of 16 int32"},
        Case{16, ncclFloat32, ncclMax, "maximum"}}) {
    SetUp();
    check(cudaSetDevice(1), "cudaSetDevice");
    auto* others = on_device<float>(16);
    check(ncclGroupStart(), "ncclGroupStart");
    check(reduce(values_, values_, 16), "ncclAllReduce");
    check(ncclAllReduce(others, others, c.count, c.type, c.op, comms_[1], nullptr),
          "ncclAllReduce");
    check(ncclGroupEnd(), "ncclGroupEnd");
    for (int device = 0; device < 2; ++device) {
      check(cudaSetDevice(device), "cudaSetDevice");
      check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
      EXPECT_EQ(settle(comms_[device]), ncclInvalidUsage);
      const std::string said = ncclGetLastError(comms_[device]);
      EXPECT_NE(said.find("rank 0 calls all-reduce of 16 float32, sum; rank 1 all-reduce"),
                std::string::npos)
          << said;
      EXPECT_NE(said.find(c.words), std::string::npos) << said;
    }
    EXPECT_EQ(reduce(values_, values_, 16), ncclInvalidUsage) << "it stays";
  }
}

}  // namespace
}  // namespace lockstep::test
