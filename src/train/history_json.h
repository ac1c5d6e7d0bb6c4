// Epoch records as JSON: the same objects in the result document and in checkpoints.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "lockstep/result.h"

namespace lockstep {

nlohmann::json history_to_json(const std::vector<EpochRecord>& epochs);
// Throws nlohmann::json::exception where a field is missing or of another type.
std::vector<EpochRecord> history_from_json(const nlohmann::json& array);

}  // namespace lockstep
