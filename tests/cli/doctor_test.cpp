// The doctor's judgements, each with a remedy where it is no pass.
#include "cli/doctor.h"

#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

void expect(const Finding& finding, Verdict verdict) {
  EXPECT_EQ(finding.verdict, verdict) << finding.name << ": " << finding.detail;
  EXPECT_EQ(finding.remedy.empty(), verdict == Verdict::pass) << finding.name;
}

Machine good_machine() {
  Machine machine;
  machine.cpus_online = machine.cpus_usable = 8;
  machine.memory_bytes = 16'000'000'000;
  machine.memory_available = 8'000'000'000;
  machine.simd = "AVX2";
  return machine;
}

TEST(Doctor, wants_two_whole_cpus) {
  Machine machine = good_machine();
  expect(judge_cpus(machine), Verdict::pass);
  machine.cpu_quota = 1.5;
  expect(judge_cpus(machine), Verdict::warn);
  machine.cpus_usable = 1;
  expect(judge_cpus(machine), Verdict::warn);
}

TEST(Doctor, wants_wide_vectors_and_memory) {
  Machine machine = good_machine();
  expect(judge_simd(machine), Verdict::pass);
  expect(judge_memory(machine), Verdict::pass);
  machine.simd = "SSE2";
  machine.memory_available = 100'000'000;
  expect(judge_simd(machine), Verdict::warn);
  expect(judge_memory(machine), Verdict::warn);
}

TEST(Doctor, says_what_bf16_would_run_on) {
  Machine machine = good_machine();
  machine.bf16 = "AMX";
  EXPECT_EQ(judge_bf16(machine).detail, "AMX");
  machine.bf16 = "AVX512_BF16";
  EXPECT_NE(judge_bf16(machine).detail.find("fp32 may be faster"), std::string::npos);
  machine.bf16 = "";
  expect(judge_bf16(machine), Verdict::pass);
  EXPECT_NE(judge_bf16(machine).detail.find("refused"), std::string::npos);
}

TEST(Doctor, sees_other_programs_on_the_cpus) {
  expect(judge_load(0.3, 2), Verdict::pass);
  expect(judge_load(1.7, 2), Verdict::warn);
}

TEST(Doctor, knows_governors_and_huge_pages_and_that_they_may_be_hidden) {
  expect(judge_governor("performance"), Verdict::pass);
  expect(judge_governor("powersave"), Verdict::warn);
  expect(judge_governor(""), Verdict::pass);
  expect(judge_huge_pages("always [madvise] never"), Verdict::pass);
  expect(judge_huge_pages("always madvise [never]"), Verdict::warn);
  expect(judge_huge_pages(""), Verdict::pass);
}

Gpu good_gpu() {
  Gpu gpu;
  gpu.name = "NVIDIA H100";
  gpu.major = 9;
  gpu.memory_bytes = 80'000'000'000;
  gpu.ecc = true;
  return gpu;
}

TEST(Doctor, wants_a_gpu_that_runs_kernels_and_has_memory_left) {
  const Gpu gpu = good_gpu();
  expect(judge_gpu(gpu, {}), Verdict::pass);
  expect(judge_gpu(gpu, {GpuProblem::no_kernel_image, "no code", "build"}), Verdict::fail);
  expect(judge_gpu_memory(gpu, {70'000'000'000, 80'000'000'000}), Verdict::pass);
  expect(judge_gpu_memory(gpu, {30'000'000'000, 80'000'000'000}), Verdict::warn);
}

TEST(Doctor, wants_a_gpu_that_processes_may_use) {
  Gpu gpu = good_gpu();
  expect(judge_gpu_sharing(gpu), Verdict::pass);
  gpu.exclusive = true;
  expect(judge_gpu_sharing(gpu), Verdict::pass);
  gpu.prohibited = true;
  expect(judge_gpu_sharing(gpu), Verdict::fail);
}

TEST(Doctor, wants_a_gpu_that_sees_bit_errors_where_it_can) {
  Gpu gpu = good_gpu();
  expect(judge_ecc(gpu), Verdict::pass);
  gpu.ecc = false;
  expect(judge_ecc(gpu), Verdict::warn);
  gpu.name = "NVIDIA GeForce RTX 4090";
  expect(judge_ecc(gpu), Verdict::pass);
  gpu.ecc = std::nullopt;
  expect(judge_ecc(gpu), Verdict::pass);
}

TEST(Doctor, wants_a_gpu_that_nothing_slows_down) {
  Gpu gpu = good_gpu();
  gpu.clock_mhz = 1980;
  expect(judge_clocks(gpu, 0), Verdict::pass);
  expect(judge_clocks(gpu, 1755), Verdict::pass);
  expect(judge_clocks(gpu, 1200), Verdict::warn);
  gpu.clock_mhz = 0;
  expect(judge_clocks(gpu, 1200), Verdict::pass);
}

TEST(Doctor, tells_a_build_without_cuda_from_a_machine_without_gpus) {
  GpuSurvey survey;
  survey.diagnosis = {GpuProblem::not_built, "this build has no CUDA support", "build it"};
  expect(judge_cuda(survey), Verdict::pass);
  survey.built = true;
  survey.runtime = "13.0";
  survey.diagnosis = {GpuProblem::no_driver, "this machine has no NVIDIA driver", "install one"};
  expect(judge_cuda(survey), Verdict::warn);
  EXPECT_NE(judge_cuda(survey).detail.find("no NVIDIA driver"), std::string::npos);
  survey.gpus = {good_gpu()};
  survey.diagnosis = {};
  expect(judge_cuda(survey), Verdict::pass);
}

TEST(Doctor, looks_for_room_where_the_folder_would_be_made) {
  const Finding finding = judge_disk("/tmp/not/there/yet");
  EXPECT_NE(finding.verdict, Verdict::fail);
  EXPECT_GT(*finding.measured, 0.0);
}

}  // namespace
}  // namespace lockstep::cli
