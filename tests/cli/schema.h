// The part of JSON Schema that schema/result.schema.json uses: type, enum, const, required,
// properties, items and references into #/definitions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lockstep::testing {

// What is wrong with `document`: "runs/0/steps: not integer". Empty: it is valid.
std::vector<std::string> schema_errors(const nlohmann::json& document);

}  // namespace lockstep::testing
