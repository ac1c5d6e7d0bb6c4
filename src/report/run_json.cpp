// One run of the JSON document.
#include "lockstep/config.h"
#include "report/document.h"
#include "train/history_json.h"

namespace lockstep {

namespace {

Json json_of(const PhaseSeconds& time) {
  return {{"compute", json_number(time.compute)},
          {"communication", json_number(time.communication)},
          {"exposed_communication", json_number(time.exposed_communication)},
          {"synchronization", json_number(time.synchronization)},
          {"data", json_number(time.data)},
          {"update", json_number(time.update)},
          {"sampled", time.sampled}};
}

Json json_of(const std::vector<PhaseSeconds>& workers) {
  Json list = Json::array();
  for (const PhaseSeconds& time : workers) list.push_back(json_of(time));
  return list;
}

Json json_of(const CommunicationTotals& totals) {
  return {{"calls", totals.calls},
          {"calls_per_epoch", totals.calls_per_epoch},
          {"bytes", totals.bytes},
          {"wire_bytes", totals.wire_bytes}};
}

Json options_of(const RunResult& run) {
  Json options = Json::object();
  for (const auto& [name, value] : run.strategy_options) options[name] = value;
  return options;
}

// A GPU's matrix products, and which kernels compute each.
Json gemm_of(const RunResult& run) {
  if (run.gemm.empty()) return {};
  Json products = Json::array();
  for (const ProductChoice& choice : run.gemm) {
    products.push_back({{"product", to_string(choice.product)},
                        {"batch", choice.batch},
                        {"inputs", choice.inputs},
                        {"outputs", choice.outputs},
                        {"kernels", to_string(choice.gemm)},
                        {"own_seconds", json_number(choice.own_seconds)},
                        {"cublas_seconds", json_number(choice.cublas_seconds)}});
  }
  return products;
}

Json final_of(const RunResult& run) {
  const auto part = [](const std::optional<Evaluation>& evaluation, double Evaluation::*field) {
    return evaluation ? json_number((*evaluation).*field) : Json();
  };
  return {{"train_loss", part(run.final_train, &Evaluation::loss)},
          {"train_accuracy", part(run.final_train, &Evaluation::accuracy)},
          {"test_loss", part(run.final_test, &Evaluation::loss)},
          {"test_accuracy", part(run.final_test, &Evaluation::accuracy)}};
}

// What only a run that trained has; null for the others.
void add_measured(const RunResult& run, Json& json) {
  const bool trained = run.steps > 0;
  const auto measured = [trained](Json value) { return trained ? std::move(value) : Json(); };
  json["steps"] = measured(run.steps);
  json["epochs"] = Json(history_to_json(run.epochs));
  json["train_seconds"] = measured(json_number(run.train_seconds));
  json["samples_per_second"] = measured(json_number(run.samples_per_second));
  json["step_ms"] = {{"median", measured(json_number(run.step_ms_median))},
                     {"p99", measured(json_number(run.step_ms_p99))}};
  json["repeats"] = run.repeats;
  json["seconds"] = {{"startup", measured(json_number(run.startup_seconds))},
                     {"load", measured(json_number(run.load_seconds))},
                     {"eval", measured(json_number(run.eval_seconds))},
                     {"transfer", json_number(run.transfer_seconds)},
                     {"capture", json_number(run.capture_seconds)}};
  json["peak_memory_bytes"] = measured(run.peak_memory_bytes);
  json["time_to_target"] = json_number(run.time_to_target);
  json["time"] = json_of(run.time);
  json["workers_time"] = json_of(run.workers_time);
  json["communication"] = measured(json_of(run.communication));
}

}  // namespace

Json json_of(const RunResult& run) {
  const auto text = [](const std::string& value) { return value.empty() ? Json() : Json(value); };
  Json json = {
      {"name", run.name},
      {"strategy", text(run.strategy)},
      {"strategy_options", options_of(run)},
      {"device", run.device},
      {"emulated", run.emulated},
      {"workers", run.workers},
      {"ranks", run.ranks},
      {"threads", run.threads},
      {"precision", text(run.precision)},
      {"deterministic", run.deterministic},
      {"parameters", run.parameters > 0 ? Json(run.parameters) : Json()},
      {"run_status", to_string(run.status)},
      {"reason", text(run.reason)},
      {"global_batch", run.global_batch > 0 ? Json(run.global_batch) : Json()},
      {"per_worker_batch", run.per_worker_batch > 0 ? Json(run.per_worker_batch) : Json()}};
  add_measured(run, json);
  json["baseline"] = run.baseline ? Json(*run.baseline) : Json();
  json["speedup"] = json_number(run.speedup);
  json["efficiency"] = json_number(run.efficiency);
  json["karp_flatt"] = json_number(run.karp_flatt);
  json["amdahl_limit"] = json_number(run.amdahl_limit);
  json["speedups"] = {{"serial", json_number(run.speedups.serial)},
                      {"best_cpu", json_number(run.speedups.best_cpu)},
                      {"gpu", json_number(run.speedups.gpu)}};
  json["fused"] = run.fused;
  json["gemm"] = gemm_of(run);
  json["final"] = final_of(run);
  json["parameters_sha256"] = text(run.parameters_sha256);
  return json;
}

}  // namespace lockstep
