// What CUDA's errors are turned into: names, numbers and a remedy.
#include "backend/cuda_diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cuda_build.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Gpu pascal() {
  Gpu gpu;
  gpu.index = 1;
  gpu.name = "NVIDIA GeForce GTX 1080";
  gpu.major = 6;
  gpu.minor = 1;
  return gpu;
}

TEST(CudaDiagnosis, ReadsCudasVersions) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12080), "12.8");
  EXPECT_EQ(cuda_version_text(0), "");
}

// Without a driver the runtime reports the same error as with an old one: the version tells.
TEST(CudaDiagnosis, TellsNoDriverFromAnOldOne) {
  const GpuDiagnosis none = diagnose_count(cudaErrorInsufficientDriver, 0, 13000, nullptr);
  EXPECT_EQ(none.problem, GpuProblem::no_driver);
  EXPECT_EQ(diagnose_count(cudaErrorNoDevice, 0, 13000, nullptr).problem, GpuProblem::no_driver);
  const GpuDiagnosis old = diagnose_count(cudaErrorInsufficientDriver, 12040, 13000, nullptr);
  EXPECT_EQ(old.problem, GpuProblem::driver_too_old);
  EXPECT_THAT(old.message, AllOf(HasSubstr("12.4"), HasSubstr("13.0")));
  EXPECT_THAT(old.remedy, AllOf(HasSubstr("driver 580 or later"), HasSubstr("CUDA 12")));
}

TEST(CudaDiagnosis, NamesTheVariableThatHidesTheGpus) {
  const GpuDiagnosis hidden = diagnose_count(cudaErrorNoDevice, 13000, 13000, "");
  EXPECT_EQ(hidden.problem, GpuProblem::no_device);
  EXPECT_THAT(hidden.remedy, HasSubstr("CUDA_VISIBLE_DEVICES is '': unset it"));
  const GpuDiagnosis bare = diagnose_count(cudaErrorNoDevice, 13000, 13000, nullptr);
  EXPECT_THAT(bare.remedy, HasSubstr("nvidia-smi -L"));
}

TEST(CudaDiagnosis, KeepsTheNameOfAnErrorThatItHasNoWordsFor) {
  const GpuDiagnosis odd = diagnose_count(cudaErrorECCUncorrectable, 13000, 13000, nullptr);
  EXPECT_EQ(odd.problem, GpuProblem::failed);
  EXPECT_THAT(odd.message, HasSubstr("cudaErrorECCUncorrectable"));
}

TEST(CudaDiagnosis, NamesTheArchitectureAndTheFlagThatAddsIt) {
  const GpuDiagnosis no_image = diagnose_gpu(cudaErrorNoKernelImageForDevice, pascal(), {}, "");
  EXPECT_EQ(no_image.problem, GpuProblem::no_kernel_image);
  EXPECT_THAT(no_image.message, AllOf(HasSubstr("GPU 1 (NVIDIA GeForce GTX 1080)"),
                                      HasSubstr("6.1"), HasSubstr(kCudaArchitectures)));
  EXPECT_THAT(no_image.remedy, AllOf(HasSubstr(std::string("-DCMAKE_CUDA_ARCHITECTURES='61;") +
                                               kCudaArchitecturesList + "'"),
                                     HasSubstr("toolkit below 13")));
}

TEST(CudaDiagnosis, SaysHowMuchMemoryIsFree) {
  const GpuDiagnosis full =
      diagnose_gpu(cudaErrorMemoryAllocation, pascal(), {12'000'000, 8'000'000'000}, "");
  EXPECT_EQ(full.problem, GpuProblem::out_of_memory);
  EXPECT_THAT(full.message, AllOf(HasSubstr("300 MB"), HasSubstr("12 MB of 8000 MB are free")));
  const Error error = gpu_out_of_memory(1, "mlp 784-256-10", 9'000'000'000, 12'300'000);
  EXPECT_EQ(error.kind(), ErrorKind::device);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("GPU 1: mlp 784-256-10 needs 9000.0 MB"),
                                  HasSubstr("12.3 MB are free")));
}

}  // namespace
}  // namespace lockstep
