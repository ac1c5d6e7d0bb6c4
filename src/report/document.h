// The JSON document that every command prints under --json and writes to result.json (README,
// "The JSON document"). Fields may be added, never renamed; what does not apply is null.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/dataset.h"
#include "lockstep/device.h"
#include "lockstep/error.h"
#include "lockstep/result.h"
#include "train/machine.h"

namespace lockstep {

using Json = nlohmann::ordered_json;

// One document. A command fills what it knows; what it never reached stays null or empty.
struct Document {
  std::string command;
  std::string status = "ok";  // ok | interrupted | diverged | failed
  Json error;                 // {"kind", "message", "remedy"}
  Json config;                // the resolved configuration
  Json machine;
  std::vector<std::string> warnings;
  Json data;
  Json runs = Json::array();
  Json checks = Json::array();
  Json more = Json::object();  // fields of single commands, after the common ones

  void set_error(const Error& error);
  // Indented, with a newline at its end. Text that is not UTF-8 is replaced, not refused.
  std::string text() const;
};

Json json_of(const RunResult& run);
Json json_of(const Check& check);
Json json_of(const Dataset& dataset);
Json json_of(const GpuSurvey& survey);  // a list, an object a GPU
Json json_of(const Machine& machine);

// One line. Text that is not UTF-8 (a path may be anything) is replaced, not refused.
std::string json_text(const Json& value);

// Null where the value is not finite: JSON has no NaN.
Json json_number(double value);
Json json_number(const std::optional<double>& value);

}  // namespace lockstep
