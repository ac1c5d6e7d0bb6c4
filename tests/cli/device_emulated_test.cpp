// Machines with GPUs of every kind, as the CUDA emulator plays them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cli/failures.h"
#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kDeviceError = 4;

// What `train --device cuda` ends with on a machine that is made by `environment`.
struct Refusal {
  std::string message;
  std::string remedy;
};

Refusal refusal_on(const Words& environment, const std::string& device = "cuda") {
  const ProcessResult result = run_program({"train", "--device", device, "--json"}, environment);
  EXPECT_EQ(result.exit_code, kDeviceError) << result.err;
  const nlohmann::json error = result.document()["error"];
  EXPECT_EQ(error["kind"], "device");
  EXPECT_THAT(result.err, HasSubstr(error["message"].get<std::string>()));
  return {error["message"], error["remedy"]};
}

// One short epoch.
ProcessResult train_on(const std::string& device, const Words& machine) {
  return run_program({"train", "--model", "logistic", "--epochs", "1", "--batch-size", "512",
                      "--device", device, "--json"},
                     machine);
}

nlohmann::json finding(const nlohmann::json& document, const std::string& name) {
  for (const nlohmann::json& entry : document["doctor"]) {
    if (entry["name"] == name) return entry;
  }
  ADD_FAILURE() << "no finding '" << name << "' in " << document["doctor"].dump(1);
  return {};
}

TEST(EmulatedDevice, WithoutADriver) {
  const Refusal refusal = refusal_on({"LOCKSTEP_EMULATOR_DRIVER=0"});
  EXPECT_THAT(refusal.message, HasSubstr("no NVIDIA driver"));
  EXPECT_THAT(refusal.remedy, AllOf(HasSubstr("nvidia-driver"), HasSubstr("--device cpu")));
}

TEST(EmulatedDevice, WithADriverThatIsTooOld) {
  const Refusal refusal = refusal_on({"LOCKSTEP_EMULATOR_DRIVER=11080"});
  EXPECT_THAT(refusal.message, AllOf(HasSubstr("too old"), HasSubstr("11.8"), HasSubstr("12.8")));
  EXPECT_THAT(refusal.remedy, HasSubstr("driver 525 or later"));
  // An older one of the same major version does.
  EXPECT_EQ(train_on("cuda", {"LOCKSTEP_EMULATOR_DRIVER=12000"}).exit_code, 0);
}

TEST(EmulatedDevice, WithADriverThatShowsNoGpu) {
  const Words none = {"LOCKSTEP_EMULATOR_DEVICES=0"};
  EXPECT_THAT(refusal_on(none).message, HasSubstr("shows this process no GPU"));
  const Words hidden = {"LOCKSTEP_EMULATOR_DEVICES=0", "CUDA_VISIBLE_DEVICES=7"};
  EXPECT_THAT(refusal_on(hidden).remedy, HasSubstr("CUDA_VISIBLE_DEVICES is '7': unset it"));
}

TEST(EmulatedDevice, OfAnArchitectureThatTheBuildHasNoCodeFor) {
  const Refusal refusal = refusal_on({"LOCKSTEP_EMULATOR_CAPABILITY=61"});
  EXPECT_THAT(refusal.message, AllOf(HasSubstr("compute capability 6.1"), HasSubstr("code for")));
  EXPECT_THAT(refusal.remedy, HasSubstr("-DCMAKE_CUDA_ARCHITECTURES='61;"));
}

TEST(EmulatedDevice, WithoutMemoryLeft) {
  const Refusal refusal = refusal_on({"LOCKSTEP_EMULATOR_MEMORY_MB=0"});
  EXPECT_THAT(refusal.message, HasSubstr("needs about 300 MB of its memory"));
  EXPECT_THAT(refusal.remedy, HasSubstr("nvidia-smi"));
}

// The first few are the probes'.
TEST(EmulatedDevice, WhoseMemoryRunsOutInATraining) {
  for (const int k : {9, 12, 15}) {
    const Refusal refusal = refusal_on({fmt::format("LOCKSTEP_EMULATOR_FAIL_ALLOCATION={}", k)});
    EXPECT_THAT(refusal.message,
                AllOf(HasSubstr("GPU 0: "), HasSubstr("needs "), HasSubstr("free")));
    EXPECT_FALSE(refusal.remedy.empty());
  }
}

TEST(EmulatedDevice, WhoseKernelFailsInATraining) {
  const Refusal refusal = refusal_on({"LOCKSTEP_EMULATOR_FAIL_KERNEL=40"});
  EXPECT_THAT(refusal.message, AllOf(HasSubstr("illegal memory access"), HasSubstr(", grid ")));
  EXPECT_THAT(refusal.remedy, HasSubstr("compute-sanitizer"));
}

TEST(EmulatedDevice, ThatIsNotThereOrNotEnoughOfThem) {
  const Words two = {"LOCKSTEP_EMULATOR_DEVICES=2"};
  EXPECT_THAT(refusal_on(two, "cuda:2").message, HasSubstr("no GPU 2, this machine has 2 GPUs"));
  const ProcessResult result =
      run_program({"train", "--device", "cuda", "--workers", "3", "--json"}, two);
  EXPECT_EQ(result.exit_code, kDeviceError);
  EXPECT_THAT(result.document()["error"]["remedy"].get<std::string>(), HasSubstr("--workers 2"));
  EXPECT_EQ(run_program({"train", "--device", "cuda:0,1"}, two).exit_code, 2);
}

TEST(EmulatedDevice, TrainsAndSaysThatItIsEmulated) {
  const Words two = {"LOCKSTEP_EMULATOR_DEVICES=2"};
  for (const std::string device : {"cuda", "cuda:0", "cuda:1"}) {
    const ProcessResult result = train_on(device, two);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("emulated on the CPU"));
    const nlohmann::json run = result.document()["runs"][0];
    EXPECT_EQ(run["device"], device);
    EXPECT_EQ(run["emulated"], true);
    EXPECT_EQ(run["name"], "serial@cuda");
  }
}

// The kernels of each product of a run, and its warnings.
std::set<std::string> kernels_of(const nlohmann::json& document) {
  std::set<std::string> kernels;
  for (const nlohmann::json& product : document["runs"][0]["gemm"]) {
    kernels.insert(product["kernels"]);
  }
  return kernels;
}

TEST(EmulatedDevice, ComputesProductsAsGemmSays) {
  const TemporaryFolder folder;
  const Words job = {"train", "--device", "cuda", "--hidden",     "8",  "--samples",
                     "100",   "--epochs", "1",    "--batch-size", "50", "--json"};
  const auto run_with = [&](const Words& more) {
    Words words = job;
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(schema_errors(result.document()), IsEmpty());
    return result.document();
  };
  EXPECT_EQ(kernels_of(run_with({})), std::set<std::string>{"own"});
  const std::string out = folder.file("run");
  EXPECT_EQ(kernels_of(run_with({"--gemm", "cublas", "--out", out})),
            std::set<std::string>{"cublas"});
  EXPECT_EQ(
      kernels_of(
          run_program({"train", out + "/config.toml", "--out", out + "2", "--json"}).document()),
      std::set<std::string>{"cublas"});
  const nlohmann::json measured = run_with({"--gemm", "auto"});
  EXPECT_EQ(kernels_of(measured), std::set<std::string>{"own"});
  EXPECT_THAT(measured["warnings"].dump(), HasSubstr("times mean nothing"));
}

TEST(EmulatedDevice, SaysWhereThereIsNoProductToChooseKernelsFor) {
  const ProcessResult result =
      run_program({"train", "--device", "cuda", "--model", "logistic", "--data",
                   "synthetic:n=200,d=3", "--epochs", "1", "--gemm", "cublas", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.document()["warnings"].dump(), HasSubstr("--gemm cublas changes nothing"));
}

TEST(EmulatedDevice, IsComparedWithOneThreadAndTheBestCpu) {
  const ProcessResult result =
      run_program({"compare", "--modes", "serial,sync:2,cuda", "--epochs", "1", "--samples", "200",
                   "--hidden", "8", "--repeats", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json document = result.document(), runs = document["runs"];
  EXPECT_THAT(schema_errors(document), IsEmpty());
  const auto seconds = [&](int i) { return runs[i]["train_seconds"].get<double>(); };
  const nlohmann::json gpu = runs[2]["speedups"];
  EXPECT_EQ(runs[2]["name"], "serial@cuda");
  EXPECT_DOUBLE_EQ(gpu["serial"], seconds(0) / seconds(2));
  EXPECT_DOUBLE_EQ(gpu["best_cpu"], std::min(seconds(0), seconds(1)) / seconds(2));
  EXPECT_DOUBLE_EQ(gpu["gpu"], 1.0);
  EXPECT_DOUBLE_EQ(runs[1]["speedups"]["gpu"], seconds(2) / seconds(1));
  EXPECT_EQ(document["machine"]["gpus"].size(), 1u);
  EXPECT_TRUE(document["machine"].contains("nvidia_driver"));
}

const Words kFour = {"LOCKSTEP_EMULATOR_DEVICES=4"};

Words train_on_four(const Words& more) {
  Words words = {"train",    "--device", "cuda",      "--workers", "4",       "--hidden", "16",
                 "--epochs", "1",        "--samples", "256",       "--quiet", "--json"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(EmulatedDevice, SeveralOfThemTrainTogether) {
  const ProcessResult sync =
      run_program(train_on_four({"--bucket-mb", "0.002", "--grad-dtype", "bf16"}), kFour);
  ASSERT_EQ(sync.exit_code, 0) << sync.err;
  EXPECT_THAT(schema_errors(sync.document()), IsEmpty());
  const auto run = sync.document()["runs"][0];
  EXPECT_EQ(run["name"], "sync:4@cuda");
  EXPECT_EQ(run["strategy_options"]["bucket_mb"], "0.002");
  EXPECT_EQ(run["strategy_options"]["grad_dtype"], "bf16");
  EXPECT_EQ(run["strategy_options"]["overlap"], "on");
  EXPECT_EQ(run["workers_time"].size(), 4U);
  EXPECT_GT(run["communication"]["calls"], 0);
  EXPECT_GT(run["communication"]["wire_bytes"], run["communication"]["bytes"]);
  EXPECT_GT(run["time"]["communication"], 0.0);
  EXPECT_GE(run["time"]["exposed_communication"], 0.0);
  const ProcessResult local =
      run_program(train_on_four({"--strategy", "local-sgd", "--sync-every", "2"}), kFour);
  ASSERT_EQ(local.exit_code, 0) << local.err;
  EXPECT_EQ(local.document()["runs"][0]["name"], "local-sgd:4:2@cuda");
  EXPECT_THAT(run_program({"--version"}, kFour).out, HasSubstr("NCCL 2."));
  EXPECT_THAT(run_program({"doctor"}, kFour).out, HasSubstr("NCCL"));
}

TEST(EmulatedDevice, WhatSeveralOfThemCannotDoIsAUsageError) {
  for (const Words& words : std::vector<Words>{{"--strategy", "hogwild"},
                                               {"--strategy", "serial"},
                                               {"--update", "sliced"},
                                               {"--allreduce", "ring"},
                                               {"--strategy", "local-sgd", "--bucket-mb", "1"},
                                               {"--strategy", "local-sgd", "--grad-dtype", "bf16"},
                                               {"--deterministic", "--grad-dtype", "bf16"}}) {
    const ProcessResult result = run_program(train_on_four(words), kFour);
    EXPECT_EQ(result.exit_code, 2) << words[1];
    EXPECT_FALSE(result.document()["error"]["remedy"].get<std::string>().empty()) << words[1];
  }
}

// NCCL's error, a sum that never comes, a rank that does not arrive, a GPU that fails.
TEST(EmulatedDevice, SeveralOfThemEndTogether) {
  constexpr int kCommunicationError = 5;
  const auto ended = [](const std::string& fault, const Words& more) {
    const ProcessResult result =
        run_program(train_on_four(more), {kFour[0], fault, "LOCKSTEP_EMULATOR_FAULT_RANK=2"});
    return std::pair(result.exit_code, result.document()["error"]["message"].get<std::string>());
  };
  using ::testing::Pair;
  EXPECT_THAT(ended("LOCKSTEP_EMULATOR_FAIL_COLLECTIVE=2", {}),
              Pair(kCommunicationError, HasSubstr("NCCL failed")));
  EXPECT_THAT(ended("LOCKSTEP_EMULATOR_HOLD_COLLECTIVE=2", {"--comm-timeout", "2"}),
              Pair(kCommunicationError, HasSubstr("has waited 2.0 s")));
  EXPECT_THAT(ended("LOCKSTEP_EMULATOR_FAIL_INIT=0", {}), Pair(kCommunicationError, HasSubstr("")));
  EXPECT_THAT(ended("LOCKSTEP_EMULATOR_FAIL_KERNEL=80", {}),
              Pair(kDeviceError, HasSubstr("illegal memory access")));
}

TEST(EmulatedDevice, IsNotTakenByAuto) {
  const ProcessResult result = run_program({"train", "--epochs", "1"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("device: the CPU, since the GPUs are emulated"));
}

TEST(EmulatedDevice, IsDescribedByDoctorAndByTheMachineOfADocument) {
  const Words two = {"LOCKSTEP_EMULATOR_DEVICES=2"};
  const ProcessResult result = run_program({"doctor", "--json"}, two);
  EXPECT_EQ(result.exit_code, 0);
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  const nlohmann::json gpus = document["machine"]["gpus"];
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[1]["index"], 1);
  EXPECT_EQ(gpus[1]["compute_capability"], "9.0");
  EXPECT_EQ(gpus[1]["memory_bytes"], int64_t{2048} << 20);
  EXPECT_EQ(gpus[1]["ecc"], true);
  EXPECT_EQ(gpus[1]["clock_mhz"], 1980);
  EXPECT_EQ(gpus[1]["emulated"], true);
  EXPECT_NE(gpus[0]["uuid"], gpus[1]["uuid"]);
  EXPECT_EQ(document["machine"]["cuda_driver"], "12.8");
  EXPECT_THAT(finding(document, "CUDA")["detail"].get<std::string>(), HasSubstr("emulated"));
  for (const char* name :
       {"GPU 0", "GPU 0 memory", "GPU 0 ECC", "GPU 0 clocks", "GPU 1", "GPU 1 sharing"}) {
    EXPECT_EQ(finding(document, name)["verdict"], "PASS");
  }
}

TEST(EmulatedDevice, ThatRunsNoKernelFailsTheDoctor) {
  const ProcessResult result =
      run_program({"doctor", "--json"}, {"LOCKSTEP_EMULATOR_CAPABILITY=61"});
  EXPECT_EQ(result.exit_code, 1);
  const nlohmann::json gpu = finding(result.document(), "GPU 0");
  EXPECT_EQ(gpu["verdict"], "FAIL");
  EXPECT_THAT(gpu["remedy"].get<std::string>(), HasSubstr("CMAKE_CUDA_ARCHITECTURES"));
}

TEST(EmulatedDevice, ThatIsMissingIsAWarningOfTheDoctor) {
  for (const std::string machine : {"LOCKSTEP_EMULATOR_DRIVER=0", "LOCKSTEP_EMULATOR_DRIVER=11080",
                                    "LOCKSTEP_EMULATOR_DEVICES=0"}) {
    const ProcessResult result = run_program({"doctor", "--json"}, {machine});
    EXPECT_EQ(result.exit_code, 0) << machine;
    const nlohmann::json cuda = finding(result.document(), "CUDA");
    EXPECT_EQ(cuda["verdict"], "WARN") << machine;
    EXPECT_FALSE(cuda["remedy"].get<std::string>().empty()) << machine;
  }
}

// 25 MB of data, 20 of memory.
TEST(EmulatedDevice, StreamsDataThatDoNotFit) {
  const Words machine = {"LOCKSTEP_EMULATOR_MEMORY_MB=20"};
  const auto train = [&](const std::string& placement) {
    return run_program(
        {"train", "--device", "cuda", "--data", "synthetic:n=300000,d=20", "--model", "logistic",
         "--batch-size", "16384", "--epochs", "1", "--data-placement", placement, "--json"},
        machine);
  };
  const ProcessResult streamed = train("auto");
  ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
  EXPECT_THAT(streamed.err, HasSubstr("streamed from the host's"));
  EXPECT_EQ(streamed.document()["runs"][0]["strategy_options"]["data_placement"], "host");
  const ProcessResult refused = train("device");
  EXPECT_EQ(refused.exit_code, kDeviceError);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("data set needs 25.2 MB"), HasSubstr("--data-placement host")));
}

TEST(EmulatedDevice, DryRunCountsWhatAStepDoes) {
  const auto dry_run = [](Words words) {
    words.insert(words.begin(), {"train", "--device", "cuda", "--dry-run"});
    return run_program(words, {});
  };
  const ProcessResult text = dry_run({});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("one after the other"), HasSubstr("us of latency"),
                              HasSubstr("emulated")));
  const nlohmann::json step = dry_run({"--json"}).document()["dry_run"]["gpu_step"];
  EXPECT_LE(step["stages"], step["kernels"]);
  // Digits: 64-256-128-10, 64 rows; the first layer has no input gradient.
  EXPECT_EQ(step["flop"], 64 * (4.0 * 64 * 256 + 6.0 * (256 * 128 + 128 * 10)));
  const nlohmann::json logistic =
      dry_run({"--json", "--model", "logistic", "--data", "synthetic:n=5000,d=20"})
          .document()["dry_run"]["gpu_step"];
  EXPECT_EQ(logistic["kernels"], 1);
  EXPECT_TRUE(run_program({"train", "--device", "cpu", "--dry-run", "--json"}, {})
                  .document()["dry_run"]["gpu_step"]
                  .is_null());
}

// Gather, two layers, the last with the loss, two input gradients, all weights; dropout of the
// input and another layer.
TEST(EmulatedDevice, HasFewStagesInAStepOfASmallBatch) {
  const auto kernels = [](const Words& job) {
    Words words = {"train",
                   "--device",
                   "cuda",
                   "--dry-run",
                   "--json",
                   "--data",
                   "synthetic:n=1000,d=784,classes=10"};
    words.insert(words.end(), job.begin(), job.end());
    const ProcessResult result = run_program(words, {"LOCKSTEP_EMULATOR_MULTIPROCESSORS=132"});
    return result.document()["dry_run"]["gpu_step"]["kernels"].get<int>();
  };
  EXPECT_EQ(kernels({"--model", "mlp", "--hidden", "256,128", "--batch-size", "256"}), 7);
  EXPECT_EQ(kernels({"--model", "mlp", "--hidden", "512,256,128", "--dropout", "0.2", "--optimizer",
                     "adam", "--lr", "0.001", "--batch-size", "32"}),
            9);
}

}  // namespace
}  // namespace lockstep::testing
