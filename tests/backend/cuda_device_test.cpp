// The library's view of GPUs.
#include "device/device.h"
#include "lockstep/device.h"

namespace lockstep {
namespace {

using CudaDevice = testing::DeviceTest;

TEST_F(CudaDevice, IsSurveyedWithItsProperties) {
  const GpuSurvey& survey = survey_gpus();
  EXPECT_TRUE(survey.built);
  EXPECT_EQ(survey.emulated, testing::kEmulated);
  EXPECT_TRUE(survey.diagnosis.usable());
  EXPECT_FALSE(survey.runtime.empty());
  EXPECT_FALSE(survey.driver.empty());
  ASSERT_FALSE(survey.gpus.empty());
  for (const Gpu& gpu : survey.gpus) {
    EXPECT_FALSE(gpu.name.empty());
    EXPECT_TRUE(gpu.uuid.starts_with("GPU-")) << gpu.uuid;
    EXPECT_GE(gpu.major, 7);
    EXPECT_GT(gpu.multiprocessors, 0);
    EXPECT_GT(gpu.memory_bytes, 0);
  }
}

TEST_F(CudaDevice, RunsTheProbe) {
  EXPECT_TRUE(probe_gpu(0).usable()) << probe_gpu(0).message;
  const GpuMemory memory = gpu_memory(0);
  EXPECT_GT(memory.free, 0);
  EXPECT_LE(memory.free, memory.total);
}

TEST_F(CudaDevice, RunsAtNoMoreThanItsHighestClock) {
  const double measured = gpu_clock_mhz(0);
  EXPECT_GT(measured, 0.0);
  EXPECT_LE(measured, 1.02 * survey_gpus().gpus[0].clock_mhz);
}

TEST_F(CudaDevice, IsChosenByName) {
  const DeviceChoice choice = choose_device("cuda:0", 1);
  EXPECT_EQ(choice.gpus, std::vector<int>{0});
  EXPECT_EQ(choice.name, "cuda:0");
  EXPECT_EQ(choice.emulated, testing::kEmulated);
  EXPECT_FALSE(choose_device("cpu", 4).on_gpu());
  EXPECT_EQ(parse_device("cuda:2,0").gpus, (std::vector<int>{2, 0}));
}

}  // namespace
}  // namespace lockstep
