// --device, as a user meets it: which device a run takes and says that it took, and what stands in
// the way of a GPU, with exit code 4 and a remedy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/failures.h"
#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kDeviceError = 4;

TEST(Device, AutoTakesTheCpuAndSaysWhyWhereNoGpuCanBeTrainedOn) {
  const ProcessResult result = run_program({"train", "--epochs", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("device: the CPU, since "));
  const nlohmann::json document = result.document();
  EXPECT_EQ(document["config"]["device"], "cpu");
  EXPECT_EQ(document["runs"][0]["device"], "cpu");
  EXPECT_EQ(document["runs"][0]["emulated"], false);
  EXPECT_THAT(schema_errors(document), IsEmpty());
}

TEST(Device, TheCpuAskedForByNameNeedsNoWord) {
  const ProcessResult result = run_program({"train", "--epochs", "1", "--device", "cpu"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, Not(HasSubstr("device:")));
}

TEST(Device, ATextThatIsNoneIsAnErrorOfUsage) {
  expect_failure({{"train", "--device", "gpu"}, 2, "--device gpu: no such device"});
  expect_failure({{"train", "--device", "cuad"}, 2, "did you mean 'cuda'?"});
  expect_failure({{"train", "--device", "cuda:"}, 2, "'' is not the number of a GPU"});
  expect_failure({{"train", "--device", "cuda:0,x"}, 2, "'x' is not the number of a GPU"});
  expect_failure({{"train", "--device", "cuda:1,1"}, 2, "GPU 1 stands there twice"});
  expect_failure({{"compare", "--modes", "cuda:2"}, 2, "write sync:2@cuda"});
  expect_failure({{"compare", "--modes", "sync:2@cuda:1"}, 2, "expected @cpu, @cuda or @mpi"});
}

TEST(Device, OptionsOfCpuThreadsAreRefusedForGpus) {
  expect_failure({{"train", "--device", "cuda", "--strategy", "hogwild"}, 2, "hogwild"});
  expect_failure({{"train", "--device", "cuda", "--precision", "bf16", "--threads", "2"},
                  2,
                  "--threads 2 with --device cuda"});
  expect_failure({{"train", "--precision", "tf32"}, 2, "--device cuda"});
}

TEST(Device, OptionsOfGpusChangeNothingOnTheCpu) {
  const ProcessResult result = run_program({"train", "--epochs", "1", "--device", "cpu", "--gemm",
                                            "cublas", "--data-placement", "host", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("--gemm cublas changes nothing on the CPU"));
  EXPECT_THAT(result.err, HasSubstr("--data-placement host changes nothing on the CPU"));
  EXPECT_EQ(result.document()["config"]["gemm"], "cublas");
  EXPECT_TRUE(result.document()["runs"][0]["gemm"].is_null());
  expect_failure({{"train", "--gemm", "cublass"}, 2, "--gemm"});
}

TEST(Device, EveryCommandThatComputesRefusesAGpuThatItCannotHave) {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  ASSERT_EQ(run_program({"train", "--epochs", "1", "--out", run}).exit_code, 0);
  for (const Words& words : std::vector<Words>{
           {"train", "--device", "cuda:7"},
           {"train", "--device", "cuda:7", "--precision", "tf32"},
           {"train", "--device", "cuda:0,7", "--workers", "2"},
           {"eval", "--checkpoint", run, "--data", "digits", "--device", "cuda:7"},
           {"predict", "--checkpoint", run, "--data", "digits", "--device", "cuda:7"},
       }) {
    expect_failure({words, kDeviceError, ""});
  }
}

TEST(Device, AComparisonRunsTheOtherModesAndKeepsTheReason) {
  const ProcessResult result = run_program(
      {"compare", "--modes", "serial,sync:2@cuda", "--epochs", "1", "--repeats", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  const nlohmann::json document = result.document();
  ASSERT_EQ(document["runs"].size(), 2u);
  EXPECT_EQ(document["runs"][0]["run_status"], "ok");
  EXPECT_EQ(document["runs"][1]["name"], "sync:2@cuda");
  EXPECT_EQ(document["runs"][1]["run_status"], "not_run");
  EXPECT_FALSE(document["runs"][1]["reason"].get<std::string>().empty());
  EXPECT_THAT(schema_errors(document), IsEmpty());
}

TEST(Device, DoctorHasALineForCudaWhateverTheBuild) {
  const ProcessResult result = run_program({"doctor", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  const nlohmann::json document = result.document();
  int lines = 0;
  for (const nlohmann::json& finding : document["doctor"]) {
    if (finding["name"] != "CUDA") continue;
    ++lines;
    EXPECT_EQ(finding["verdict"] == "PASS", finding["remedy"].is_null());
  }
  EXPECT_EQ(lines, 1);
  EXPECT_THAT(schema_errors(document), IsEmpty());
}

}  // namespace
}  // namespace lockstep::testing
