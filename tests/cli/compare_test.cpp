// lockstep compare as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

nlohmann::json compared(Words arguments) {
  const Words common = {"compare", "--json", "--epochs", "1", "--repeats", "1", "--warmup", "0"};
  arguments.insert(arguments.begin(), common.begin(), common.end());
  const ProcessResult result = run_program(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  return document;
}

std::vector<std::string> names_of(const nlohmann::json& document) {
  std::vector<std::string> names;
  for (const auto& run : document["runs"]) names.push_back(run["name"]);
  return names;
}

TEST(Compare, without_arguments_runs_the_embedded_job_under_every_cpu_mode) {
  const nlohmann::json document = compared({});
  const std::vector<std::string> names = names_of(document);
  for (const char* name : {"serial", "sync:2", "hogwild:2", "local-sgd:2:8"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
  const nlohmann::json& serial = document["runs"][0];
  for (const auto& run : document["runs"]) {
    EXPECT_EQ(run["run_status"], "ok") << run["name"];
    EXPECT_EQ(run["baseline"], "serial");
    EXPECT_DOUBLE_EQ(run["speedup"].get<double>(),
                     serial["train_seconds"].get<double>() / run["train_seconds"].get<double>());
  }
}

TEST(Compare, a_mode_that_cannot_run_is_a_row_with_its_reason) {
  const nlohmann::json document =
      compared({"--modes", "serial,hogwild:2,sync:2@cuda,hogwild:2@mpi", "--optimizer", "adam"});
  EXPECT_EQ(document["status"], "ok");
  EXPECT_THAT(names_of(document),
              ElementsAre("serial", "hogwild:2", "sync:2@cuda", "hogwild:2@mpi"));
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(document["runs"][i]["run_status"], "not_run");
    EXPECT_FALSE(document["runs"][i]["reason"].is_null());
    EXPECT_TRUE(document["runs"][i]["train_seconds"].is_null());
    EXPECT_TRUE(document["runs"][i]["speedup"].is_null());
  }
}

TEST(Compare, repeats_are_listed_and_the_median_is_the_result) {
  const nlohmann::json run =
      compared({"--modes", "serial", "--repeats", "3", "--hidden", "8"})["runs"][0];
  ASSERT_EQ(run["repeats"].size(), 3u);
  std::vector<double> seconds = run["repeats"];
  std::ranges::sort(seconds);
  EXPECT_EQ(run["train_seconds"], seconds[1]);
}

TEST(Compare, weak_scaling_has_a_serial_baseline_of_each_global_batch) {
  const nlohmann::json document =
      compared({"--modes", "serial,sync:2", "--per-worker-batch", "32"});
  EXPECT_THAT(names_of(document), ElementsAre("serial", "serial batch-size=64", "sync:2"));
  EXPECT_EQ(document["runs"][2]["baseline"], "serial batch-size=64");
  EXPECT_EQ(document["runs"][1]["global_batch"], document["runs"][2]["global_batch"]);
}

TEST(Compare, takes_modes_with_options_of_their_own_from_toml) {
  const TemporaryFolder folder;
  const std::string file = folder.write("job.toml", R"(
hidden = [8]
modes = ["serial"]
[[mode]]
mode = "sync:2"
allreduce = "ring"
[[mode]]
mode = "sync:2"
name = "central"
allreduce = "central"
)");
  const nlohmann::json document = compared({file});
  EXPECT_THAT(names_of(document), ElementsAre("serial", "sync:2 allreduce=ring", "central"));
  EXPECT_EQ(document["runs"][1]["strategy_options"]["allreduce"], "ring");
  EXPECT_EQ(document["runs"][2]["strategy_options"]["allreduce"], "central");
  EXPECT_THAT(names_of(compared({file, "--modes", "serial,sync:2"})),
              ElementsAre("serial", "sync:2"));
}

TEST(Compare, out_holds_a_configuration_that_compares_the_same) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  const nlohmann::json document =
      compared({"--modes", "serial,sync:2", "--hidden", "8", "--out", out});
  EXPECT_EQ(nlohmann::json::parse(read_file(out + "/result.json")), document);
  const ProcessResult again = run_program({"compare", out + "/config.toml", "--json"});
  EXPECT_EQ(names_of(again.document()), names_of(document));
  EXPECT_EQ(again.document()["runs"][0]["parameters_sha256"],
            document["runs"][0]["parameters_sha256"]);
}

TEST(Compare, prints_a_table_and_ends_in_a_sentence_for_each_mode) {
  const ProcessResult result =
      run_program({"compare", "--modes", "serial,sync:2", "--epochs", "1", "--hidden", "8"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("speedup"));
  EXPECT_THAT(result.out, HasSubstr("where it went"));
  EXPECT_THAT(result.out, ::testing::ContainsRegex("sync:2 ran .* than serial\n$"));
}

TEST(Compare, a_mode_that_diverges_is_a_row_and_exit_code_6) {
  const ProcessResult result =
      run_program({"compare", "--modes", "serial", "--lr", "1e30", "--json"});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_EQ(result.document()["status"], "diverged");
  EXPECT_EQ(result.document()["runs"][0]["run_status"], "diverged");
}

TEST(Compare, deterministic_repeats_are_checked) {
  const nlohmann::json document =
      compared({"--modes", "serial,sync:2", "--deterministic", "--repeats", "2", "--hidden", "8"});
  ASSERT_EQ(document["checks"].size(), 2u);
  for (const auto& check : document["checks"]) EXPECT_EQ(check["passed"], true);
}

}  // namespace
}  // namespace lockstep::testing
