#include "report/run_from_json.h"

#include <algorithm>
#include <array>
#include <utility>

#include "train/history_json.h"

namespace lockstep {

namespace {

template <class T>
T value_or(const Json& json, const char* name, T otherwise) {
  const Json& value = json.at(name);
  return value.is_null() ? otherwise : value.get<T>();
}

std::optional<double> number(const Json& json, const char* name) {
  const Json& value = json.at(name);
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

PhaseSeconds phases_from(const Json& json) {
  PhaseSeconds time;
  time.compute = number(json, "compute");
  time.communication = number(json, "communication");
  time.exposed_communication = number(json, "exposed_communication");
  time.synchronization = number(json, "synchronization");
  time.data = number(json, "data");
  time.update = number(json, "update");
  time.sampled = json.at("sampled").get<bool>();
  return time;
}

RunStatus status_from(const std::string& name) {
  constexpr std::array kAll = {RunStatus::ok, RunStatus::interrupted, RunStatus::diverged,
                               RunStatus::failed, RunStatus::not_run};
  const auto found =
      std::ranges::find_if(kAll, [&](RunStatus status) { return to_string(status) == name; });
  return found == kAll.end() ? RunStatus::failed : *found;
}

std::optional<Evaluation> evaluation_from(const Json& json, const char* loss,
                                          const char* accuracy) {
  if (json.at(loss).is_null()) return std::nullopt;
  return Evaluation{json.at(loss).get<double>(), json.at(accuracy).get<double>()};
}

void read_measured(const Json& json, RunResult& run) {
  run.steps = value_or<int64_t>(json, "steps", 0);
  run.epochs = history_from_json(json.at("epochs"));
  run.train_seconds = value_or(json, "train_seconds", 0.0);
  run.samples_per_second = value_or(json, "samples_per_second", 0.0);
  run.step_ms_median = value_or(json.at("step_ms"), "median", 0.0);
  run.step_ms_p99 = value_or(json.at("step_ms"), "p99", 0.0);
  run.repeats = json.at("repeats").get<std::vector<double>>();
  const Json& seconds = json.at("seconds");
  run.startup_seconds = value_or(seconds, "startup", 0.0);
  run.load_seconds = value_or(seconds, "load", 0.0);
  run.eval_seconds = value_or(seconds, "eval", 0.0);
  run.transfer_seconds = number(seconds, "transfer");
  run.capture_seconds = number(seconds, "capture");
  run.peak_memory_bytes = value_or<int64_t>(json, "peak_memory_bytes", 0);
  run.time_to_target = number(json, "time_to_target");
  run.time = phases_from(json.at("time"));
  for (const Json& worker : json.at("workers_time")) {
    run.workers_time.push_back(phases_from(worker));
  }
  const Json& communication = json.at("communication");
  if (communication.is_null()) return;
  run.communication = {
      communication.at("calls").get<int64_t>(), communication.at("calls_per_epoch").get<int64_t>(),
      communication.at("bytes").get<int64_t>(), communication.at("wire_bytes").get<int64_t>()};
}

}  // namespace

RunResult run_from_json(const Json& json) {
  RunResult run;
  run.name = json.at("name").get<std::string>();
  run.strategy = value_or<std::string>(json, "strategy", "");
  for (const auto& [name, value] : json.at("strategy_options").items()) {
    run.strategy_options.emplace_back(name, value.get<std::string>());
  }
  run.device = json.at("device").get<std::string>();
  run.emulated = json.at("emulated").get<bool>();
  run.workers = json.at("workers").get<int>();
  run.ranks = json.at("ranks").get<int>();
  run.threads = json.at("threads").get<int>();
  run.precision = value_or<std::string>(json, "precision", "");
  run.deterministic = json.at("deterministic").get<bool>();
  run.parameters = value_or<int64_t>(json, "parameters", 0);
  run.status = status_from(json.at("run_status").get<std::string>());
  run.reason = value_or<std::string>(json, "reason", "");
  run.global_batch = value_or<int64_t>(json, "global_batch", 0);
  run.per_worker_batch = value_or<int64_t>(json, "per_worker_batch", 0);
  read_measured(json, run);
  run.fused = json.at("fused").get<std::vector<std::string>>();
  run.final_train = evaluation_from(json.at("final"), "train_loss", "train_accuracy");
  run.final_test = evaluation_from(json.at("final"), "test_loss", "test_accuracy");
  run.parameters_sha256 = value_or<std::string>(json, "parameters_sha256", "");
  return run;
}

}  // namespace lockstep
