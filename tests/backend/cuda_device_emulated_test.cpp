// The library's view of GPUs that only the emulator can be.
#include "device/device.h"
#include "lockstep/device.h"

namespace lockstep {
namespace {

using EmulatedCudaDevice = testing::DeviceTest;

TEST_F(EmulatedCudaDevice, IsSurveyedAsWhatItPlays) {
  const GpuSurvey& survey = survey_gpus();
  ASSERT_EQ(survey.gpus.size(), 1u);
  EXPECT_EQ(survey.gpus[0].capability(), "9.0");
  EXPECT_EQ(survey.gpus[0].pci, "0000:01:00.0");
}

TEST_F(EmulatedCudaDevice, GivesTheMemoryOfTheProbeBack) {
  ASSERT_TRUE(probe_gpu(0).usable());
  const GpuMemory before = gpu_memory(0);
  ASSERT_TRUE(probe_gpu(0).usable());
  EXPECT_EQ(gpu_memory(0).free, before.free);
  EXPECT_EQ(before.free, before.total);
}

TEST_F(EmulatedCudaDevice, ThatLosesItsKernelFailsTheProbeWithCudasName) {
  emulator::fail_launch(0, cudaErrorLaunchFailure);
  const GpuDiagnosis diagnosis = probe_gpu(0);
  EXPECT_EQ(diagnosis.problem, GpuProblem::failed);
  EXPECT_NE(diagnosis.message.find("cudaErrorLaunchFailure"), std::string::npos);
}

TEST_F(EmulatedCudaDevice, OfAnUnknownArchitectureOrWithoutMemoryFailsTheProbe) {
  emulator::set_compute_capability(0, 7, 0);
  EXPECT_EQ(probe_gpu(0).problem, GpuProblem::no_kernel_image);
  emulator::set_compute_capability(0, 7, 5);
  EXPECT_EQ(probe_gpu(0).problem, GpuProblem::none);
  emulator::set_memory_limit(0, 100);
  EXPECT_EQ(probe_gpu(0).problem, GpuProblem::out_of_memory);
}

TEST_F(EmulatedCudaDevice, IsChosenForAWorkerEach) {
  EXPECT_FALSE(choose_device("auto", 4).on_gpu());
  EXPECT_THROW((void)choose_device("cuda", 2), Error);
  EXPECT_THROW((void)choose_device("cuda:1", 1), Error);
}

}  // namespace
}  // namespace lockstep
