// --gemm on every kind of build and device.
#include "train/gemm_choice.h"

#include <gtest/gtest.h>

#include "lockstep/error.h"

namespace lockstep {
namespace {

struct Machine {
  bool gpu = true;
  bool cublas = true;
  bool emulated = false;
};

GemmChoice chosen(Gemm gemm, const Machine& machine, bool deterministic = false) {
  Config config;
  config.gemm = gemm;
  config.deterministic = deterministic;
  DeviceChoice device;
  if (machine.gpu) device.gpus = {0};
  GpuSurvey survey;
  survey.cublas = machine.cublas;
  survey.emulated = machine.emulated;
  return choose_gemm(config, device, survey);
}

void expect_own_with(const char* warning, const GemmChoice& choice) {
  EXPECT_EQ(choice.gemm, Gemm::own);
  EXPECT_NE(choice.warning.find(warning), std::string::npos) << choice.warning;
}

TEST(GemmChoice, OwnKernelsNeedNoWord) {
  for (const Machine machine : {Machine{}, Machine{.gpu = false}, Machine{.cublas = false}}) {
    const GemmChoice choice = chosen(Gemm::own, machine, true);
    EXPECT_EQ(choice.gemm, Gemm::own);
    EXPECT_EQ(choice.warning, "");
  }
}

TEST(GemmChoice, IsAsAskedOnAGpuWithCublas) {
  for (const Gemm gemm : {Gemm::cublas, Gemm::automatic}) {
    EXPECT_EQ(chosen(gemm, {}).gemm, gemm);
    EXPECT_EQ(chosen(gemm, {}).warning, "");
  }
  EXPECT_EQ(chosen(Gemm::cublas, {.emulated = true}, true).gemm, Gemm::cublas);
}

TEST(GemmChoice, AutoMeasuresOnlyWhereTimesMayDecide) {
  expect_own_with("--deterministic", chosen(Gemm::automatic, {}, true));
  expect_own_with("emulated", chosen(Gemm::automatic, {.emulated = true}));
  expect_own_with("no cuBLASLt", chosen(Gemm::automatic, {.cublas = false}));
}

TEST(GemmChoice, MeansNothingOnTheCpu) {
  expect_own_with("--gemm cublas changes nothing on the CPU",
                  chosen(Gemm::cublas, {.gpu = false, .cublas = false}));
  expect_own_with("--gemm auto changes nothing", chosen(Gemm::automatic, {.gpu = false}));
}

TEST(GemmChoice, CublasThatTheBuildLacksIsAnErrorWithARemedy) {
  try {
    chosen(Gemm::cublas, {.cublas = false});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_NE(std::string(error.what()).find("no cuBLASLt"), std::string::npos);
    EXPECT_NE(error.remedy().find("--gemm own"), std::string::npos);
  }
}

TEST(GemmChoice, IsDescribedWhereItWasMeasured) {
  ProductChoice measured{
      LinearProduct::weight_gradient, 64, 784, 256, Gemm::cublas, 2.5e-6, 1.25e-6};
  ProductChoice not_measured{LinearProduct::forward, 64, 784, 256, Gemm::own, {}, {}};
  EXPECT_EQ(describe_measured({not_measured}), "");
  EXPECT_EQ(describe_measured({measured, measured}),
            "gemm: weight gradient 784-256 by cublas (own 2.50 us, cublas 1.25 us), weight "
            "gradient 784-256 by cublas (own 2.50 us, cublas 1.25 us)");
}

}  // namespace
}  // namespace lockstep
