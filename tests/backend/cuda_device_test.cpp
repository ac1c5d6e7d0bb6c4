// The library's view of GPUs, on the emulator.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "emulator/control.h"
#include "lockstep/device.h"

namespace lockstep {
namespace {

class CudaDevice : public testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override { emulator::reset(); }
};

TEST_F(CudaDevice, IsSurveyedWithItsProperties) {
  const GpuSurvey& survey = survey_gpus();
  EXPECT_TRUE(survey.built);
  EXPECT_TRUE(survey.emulated);
  ASSERT_EQ(survey.gpus.size(), 1u);
  EXPECT_TRUE(survey.diagnosis.usable());
  EXPECT_EQ(survey.gpus[0].capability(), "9.0");
  EXPECT_EQ(survey.gpus[0].pci, "0000:01:00.0");
  EXPECT_GT(survey.gpus[0].memory_bytes, 0);
}

TEST_F(CudaDevice, RunsTheProbeAndGivesItsMemoryBack) {
  ASSERT_TRUE(probe_gpu(0).usable());
  const GpuMemory before = gpu_memory(0);
  ASSERT_TRUE(probe_gpu(0).usable());
  EXPECT_EQ(gpu_memory(0).free, before.free);
  EXPECT_EQ(before.free, before.total);
}

TEST_F(CudaDevice, ThatLosesItsKernelFailsTheProbeWithCudasName) {
  emulator::fail_launch(0, cudaErrorLaunchFailure);
  const GpuDiagnosis diagnosis = probe_gpu(0);
  EXPECT_EQ(diagnosis.problem, GpuProblem::failed);
  EXPECT_NE(diagnosis.message.find("cudaErrorLaunchFailure"), std::string::npos);
}

TEST_F(CudaDevice, OfAnUnknownArchitectureOrWithoutMemoryFailsTheProbe) {
  emulator::set_compute_capability(0, 7, 0);
  EXPECT_EQ(probe_gpu(0).problem, GpuProblem::no_kernel_image);
  emulator::set_compute_capability(0, 7, 5);
  EXPECT_EQ(probe_gpu(0).problem, GpuProblem::none);
  emulator::set_memory_limit(0, 100);
  EXPECT_EQ(probe_gpu(0).problem, GpuProblem::out_of_memory);
}

TEST_F(CudaDevice, IsChosenForAWorkerEach) {
  EXPECT_EQ(choose_device("cpu", 4).name, "cpu");
  EXPECT_FALSE(choose_device("auto", 4).on_gpu());
  EXPECT_EQ(parse_device("cuda:2,0").gpus, (std::vector<int>{2, 0}));
  EXPECT_THROW((void)choose_device("cuda", 2), Error);
  EXPECT_THROW((void)choose_device("cuda:1", 1), Error);
}

}  // namespace
}  // namespace lockstep
