#include "report/document.h"

#include <cmath>

#include "train/version.h"

namespace lockstep {

namespace {

constexpr int kSchema = 1;

Json text_or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

}  // namespace

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json json_number(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}

Json json_number(const std::optional<double>& value) {
  return value ? json_number(*value) : Json();
}

void Document::set_error(const Error& failure) {
  status = failure.kind() == ErrorKind::diverged ? "diverged" : "failed";
  error = {{"kind", to_string(failure.kind())},
           {"message", failure.what()},
           {"remedy", text_or_null(failure.remedy())}};
}

std::string Document::text() const {
  Json document = {{"lockstep", kVersion}, {"schema", kSchema},    {"command", command},
                   {"status", status},     {"error", error},       {"config", config},
                   {"machine", machine},   {"warnings", warnings}, {"data", data},
                   {"runs", runs},         {"checks", checks}};
  for (const auto& [key, value] : more.items()) document[key] = value;
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json json_of(const Check& check) {
  return {{"name", check.name},
          {"passed", check.passed},
          {"measured", json_number(check.measured)},
          {"limit", json_number(check.limit)}};
}

Json json_of(const Dataset& dataset) {
  return {
      {"name", dataset.name},
      {"train_samples", dataset.train.size()},
      {"test_samples", dataset.test ? Json(dataset.test->size()) : Json()},
      {"features", dataset.features()},
      {"classes", dataset.classes > 0 ? Json(dataset.classes) : Json()},
      {"sha256", text_or_null(dataset.sha256)},
      {"class_names", dataset.class_names},
      {"feature_type", dataset.train.features.type == FeatureType::uint8 ? "uint8" : "float32"}};
}

Json json_of(const GpuSurvey& survey) {
  Json gpus = Json::array();
  for (const Gpu& gpu : survey.gpus) {
    gpus.push_back(
        {{"index", gpu.index},
         {"name", gpu.name},
         {"uuid", gpu.uuid},
         {"pci", gpu.pci},
         {"compute_capability", gpu.capability()},
         {"multiprocessors", gpu.multiprocessors},
         {"memory_bytes", gpu.memory_bytes},
         {"ecc", gpu.ecc ? Json(*gpu.ecc) : Json()},
         {"clock_mhz", gpu.clock_mhz > 0 ? Json(gpu.clock_mhz) : Json()},
         {"memory_clock_mhz", gpu.memory_clock_mhz > 0 ? Json(gpu.memory_clock_mhz) : Json()},
         {"emulated", survey.emulated}});
  }
  return gpus;
}

Json json_of(const Machine& machine) {
  return {{"host", text_or_null(machine.host)},
          {"os", text_or_null(machine.os)},
          {"kernel", text_or_null(machine.kernel)},
          {"cpu", text_or_null(machine.cpu)},
          {"cpus_online", machine.cpus_online},
          {"cpus_usable", machine.cpus_usable},
          {"memory_bytes", machine.memory_bytes},
          {"simd", machine.simd},
          {"gemm", machine.gemm},
          {"bf16", text_or_null(machine.bf16)},
          {"compiler", kCompiler},
          {"build", kBuildType},
          {"cuda_runtime", text_or_null(survey_gpus().runtime)},
          {"cuda_driver", text_or_null(survey_gpus().driver)},
          {"nvidia_driver", text_or_null(machine.nvidia_driver)},
          {"gpus", json_of(survey_gpus())}};
}

}  // namespace lockstep
