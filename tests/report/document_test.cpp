// The JSON document: its fields, and null where nothing applies.
#include "report/document.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lockstep {
namespace {

RunResult finished_run() {
  RunResult run;
  run.name = "sync:2";
  run.strategy = "sync";
  run.workers = 2;
  run.precision = "fp32";
  run.parameters = 10;
  run.steps = 4;
  run.train_seconds = 1.0;
  run.epochs.push_back({1, 0.1, 0.5, 0.8, std::nullopt, 1.0});
  run.time.compute = 0.5;
  run.workers_time = {run.time, run.time};
  run.final_train = Evaluation{0.4, 0.9};
  run.strategy_options = {{"update", "sliced"}};
  run.parameters_sha256 = "ab";
  return run;
}

TEST(Document, has_the_documented_fields_in_their_order) {
  Document document;
  document.command = "train";
  const Json json = Json::parse(document.text());
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(keys,
            (std::vector<std::string>{"lockstep", "schema", "command", "status", "error", "config",
                                      "machine", "warnings", "data", "runs", "checks"}));
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["status"], "ok");
  EXPECT_TRUE(json["error"].is_null());
  EXPECT_TRUE(json["warnings"].is_array());
}

TEST(Document, an_error_carries_kind_message_and_remedy) {
  Document document;
  document.set_error(Error(ErrorKind::data, "x.csv: empty", "give rows"));
  const Json json = Json::parse(document.text());
  EXPECT_EQ(json["status"], "failed");
  EXPECT_EQ(json["error"]["kind"], "data");
  EXPECT_EQ(json["error"]["message"], "x.csv: empty");
  EXPECT_EQ(json["error"]["remedy"], "give rows");
  document.set_error(Error(ErrorKind::diverged, "loss is nan"));
  EXPECT_EQ(document.status, "diverged");
  EXPECT_TRUE(document.error["remedy"].is_null());
}

TEST(Document, text_that_is_not_utf8_is_replaced_not_refused) {
  Document document;
  document.warnings.push_back("file \xFF.csv");
  EXPECT_TRUE(Json::accept(document.text()));
}

TEST(RunJson, has_every_documented_field) {
  const Json json = json_of(finished_run());
  for (const char* key : {"name",
                          "strategy",
                          "strategy_options",
                          "device",
                          "emulated",
                          "workers",
                          "ranks",
                          "threads",
                          "precision",
                          "deterministic",
                          "parameters",
                          "run_status",
                          "reason",
                          "global_batch",
                          "per_worker_batch",
                          "steps",
                          "epochs",
                          "train_seconds",
                          "samples_per_second",
                          "step_ms",
                          "repeats",
                          "seconds",
                          "peak_memory_bytes",
                          "time_to_target",
                          "time",
                          "workers_time",
                          "communication",
                          "baseline",
                          "speedup",
                          "efficiency",
                          "karp_flatt",
                          "amdahl_limit",
                          "fused",
                          "gemm",
                          "final",
                          "parameters_sha256"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const char* key :
       {"compute", "communication", "exposed_communication", "synchronization", "data", "update"}) {
    EXPECT_TRUE(json["time"].contains(key)) << key;
  }
  EXPECT_EQ(json["strategy_options"]["update"], "sliced");
  EXPECT_EQ(json["workers_time"].size(), 2u);
  EXPECT_EQ(json["epochs"][0]["lr"], 0.1);
  EXPECT_EQ(json["final"]["train_accuracy"], 0.9);
}

TEST(RunJson, lists_a_gpus_products_and_the_times_that_were_measured) {
  RunResult run = finished_run();
  EXPECT_TRUE(json_of(run)["gemm"].is_null());
  run.gemm = {{LinearProduct::forward, 64, 784, 256, Gemm::cublas, 2e-6, 1e-6},
              {LinearProduct::input_gradient, 64, 256, 10, Gemm::own, std::nullopt, std::nullopt}};
  EXPECT_EQ(json_of(run)["gemm"], Json::parse(R"([
    {"product": "forward", "batch": 64, "inputs": 784, "outputs": 256, "kernels": "cublas",
     "own_seconds": 2e-6, "cublas_seconds": 1e-6},
    {"product": "input_gradient", "batch": 64, "inputs": 256, "outputs": 10, "kernels": "own",
     "own_seconds": null, "cublas_seconds": null}])"));
}

TEST(RunJson, what_does_not_apply_is_null_never_zero) {
  const Json json = json_of(finished_run());
  EXPECT_TRUE(json["epochs"][0]["test_loss"].is_null());
  EXPECT_TRUE(json["final"]["test_accuracy"].is_null());
  EXPECT_TRUE(json["speedup"].is_null());
  EXPECT_TRUE(json["baseline"].is_null());
  EXPECT_TRUE(json["time"]["update"].is_null());
  EXPECT_TRUE(json["seconds"]["capture"].is_null());
  EXPECT_TRUE(json["time_to_target"].is_null());
  EXPECT_TRUE(json["reason"].is_null());
}

TEST(RunJson, a_run_that_did_not_run_has_no_figures) {
  RunResult run;
  run.name = "hogwild:2";
  run.status = RunStatus::not_run;
  run.reason = "adam";
  const Json json = json_of(run);
  EXPECT_EQ(json["run_status"], "not_run");
  EXPECT_EQ(json["reason"], "adam");
  for (const char* key : {"train_seconds", "samples_per_second", "steps", "parameters",
                          "communication", "parameters_sha256", "peak_memory_bytes"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
}

TEST(RunJson, no_nan_and_no_infinity) {
  RunResult run = finished_run();
  run.train_seconds = std::numeric_limits<double>::infinity();
  run.karp_flatt = std::nan("");
  run.epochs[0].train_loss = std::nan("");
  run.final_train->loss = -std::numeric_limits<double>::infinity();
  Document document;
  document.runs.push_back(json_of(run));
  const std::string text = document.text();
  EXPECT_EQ(text.find("nan"), std::string::npos);
  EXPECT_EQ(text.find("inf"), std::string::npos);
  const Json parsed = Json::parse(text);
  EXPECT_TRUE(parsed["runs"][0]["train_seconds"].is_null());
  EXPECT_TRUE(parsed["runs"][0]["epochs"][0]["train_loss"].is_null());
  EXPECT_TRUE(parsed["runs"][0]["final"]["train_loss"].is_null());
}

}  // namespace
}  // namespace lockstep
